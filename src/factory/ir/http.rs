//! Requests to an API, as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Http {
    /// Upper case.
    pub method: String,
    /// Path below the server's URL, with `{wire_name}` for path parameters.
    pub path: String,
    /// Servers of this operation, where it has its own.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub servers: Vec<ServerUrl>,
    /// Parameters.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub parameters: Vec<Parameter>,
    /// The body.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub body: Option<Body>,
    /// One of these must be met; none at all: no authentication. An empty one makes it optional.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub security: Vec<Requirement>,
    /// Media types of successful answers, most wanted first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub accept: Vec<String>,
}

/// A base URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerUrl {
    /// Absolute URL without a trailing slash, with `{variable}`; relative where the document's
    /// address is not known.
    pub url: String,
    /// Its variables.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub variables: BTreeMap<String, ServerVariable>,
}

/// A variable of a base URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerVariable {
    /// Value when the environment says nothing.
    pub default: String,
    /// Values that are allowed; empty: any.
    #[serde(rename = "enum", skip_serializing_if = "Vec::is_empty", default)]
    pub values: Vec<String>,
    /// Environment variable that sets it.
    pub environment: String,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Name of the tool's argument.
    pub argument: String,
    /// Name in the request.
    pub wire_name: String,
    /// Where it goes.
    pub location: Location,
    /// How it is written.
    pub style: Style,
    /// Whether each item stands for itself.
    pub explode: bool,
    /// Whether reserved characters stay as they are.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub allow_reserved: bool,
    /// Whether a call without it is refused.
    pub required: bool,
}

/// Where a parameter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// Into the path.
    Path,
    /// Behind the question mark.
    Query,
    /// A header.
    Header,
    /// The `Cookie` header.
    Cookie,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Style {
    /// `3,4,5`.
    Simple,
    /// `.3.4.5`.
    Label,
    /// `;id=3`.
    Matrix,
    /// `id=3&id=4`.
    Form,
    /// `id=3%204`.
    SpaceDelimited,
    /// `id=3|4`.
    PipeDelimited,
    /// `3\t4` (Swagger 2.0).
    TabDelimited,
    /// `id[a]=3`.
    DeepObject,
    /// JSON text.
    Json,
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// Argument that holds it.
    pub argument: String,
    /// Argument that chooses the media type, where there are several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_type_argument: Option<String>,
    /// Whether a call without it is refused.
    pub required: bool,
    /// Its forms, the default first.
    pub media: Vec<Media>,
}

/// One form of a body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Media {
    /// As it is sent.
    pub content_type: String,
    /// How it is written.
    pub form: MediaForm,
    /// What is special about single properties.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub properties: BTreeMap<String, PropertyForm>,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaForm {
    /// JSON.
    Json,
    /// `application/x-www-form-urlencoded`.
    Urlencoded,
    /// `multipart/*`.
    Multipart,
    /// The argument's text as it is.
    Text,
    /// Bytes: `{content_base64}` or `{text}`.
    Binary,
}

/// What is special about a property of a form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropertyForm {
    /// Whether it is a file, or a list of files: `{filename, content_base64 | text}`.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub file: bool,
    /// Media type of its part.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_type: Option<String>,
    /// Style, where the document names one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub style: Option<Style>,
    /// Explode, where the document names it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub explode: Option<bool>,
    /// Whether reserved characters stay as they are.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub allow_reserved: bool,
}

/// Schemes that together let a call in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// All of them, with the scopes that the operation wants.
    pub schemes: BTreeMap<String, Vec<String>>,
}

/// A way to authenticate. Values come from environment variables alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Scheme {
    /// A key.
    ApiKey {
        /// Where it goes; never the path.
        location: Location,
        /// Under which name.
        wire_name: String,
        /// Variable.
        variable: String,
    },
    /// User name and password.
    Basic {
        /// Variable.
        username: String,
        /// Variable.
        password: String,
    },
    /// A token that somebody else gave out, or another `Authorization` scheme.
    Bearer {
        /// Word in front of it.
        prefix: String,
        /// Variable.
        variable: String,
    },
    /// `OAuth2`.
    Oauth2(Box<Oauth2>),
    /// `OpenID` Connect: the endpoints are read from its document.
    OpenIdConnect {
        /// Address of the document.
        url: String,
        /// The rest as with `OAuth2`.
        oauth2: Box<Oauth2>,
    },
    /// A client certificate.
    MutualTls {
        /// Variable with the path of the certificate.
        certificate: String,
        /// Variable with the path of the key.
        key: String,
    },
}

/// `OAuth2`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oauth2 {
    /// How tokens are had.
    pub grant: Grant,
    /// Where tokens are had.
    pub token_url: String,
    /// Where the user agrees.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub authorization_url: Option<String>,
    /// Where tokens are renewed, when not at `token_url`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refresh_url: Option<String>,
    /// Scopes that are asked for.
    pub scopes: Vec<String>,
    /// Variable.
    pub client_id: String,
    /// Variable.
    pub client_secret: String,
    /// Variable with a token that is used as it is.
    pub access_token: String,
    /// Variable with the path of the file that keeps tokens.
    pub token_file: String,
    /// User name and password, for that grant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    /// See `username`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub password: Option<String>,
}

/// How tokens are had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// By the client alone.
    #[default]
    ClientCredentials,
    /// By the user in a browser, with PKCE.
    AuthorizationCode,
    /// By the user's password.
    Password,
    /// The document names a flow without a token endpoint: a token is given.
    Given,
}

/// A request that must reach the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectedRequest {
    /// Upper case.
    pub method: String,
    /// Path below the base URL, as it is sent.
    pub path: String,
    /// Query as it is sent, without the question mark; empty: none.
    pub query: String,
    /// Headers that must be there, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: ExpectedBody,
}

/// A body that must reach the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ExpectedBody {
    /// None.
    None,
    /// This JSON value.
    Json {
        /// Value.
        value: Value,
    },
    /// Exactly these bytes, as text.
    Text {
        /// Text.
        text: String,
    },
    /// Exactly these bytes.
    Binary {
        /// In base64.
        base64: String,
    },
    /// These parts in this order.
    Multipart {
        /// Parts.
        parts: Vec<ExpectedPart>,
    },
}

/// A part of a multipart body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedPart {
    /// Name of the field.
    pub name: String,
    /// Name of the file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub filename: Option<String>,
    /// Media type.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_type: Option<String>,
    /// Content in base64.
    pub base64: String,
}
