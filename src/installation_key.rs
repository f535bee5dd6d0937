//! The secret of an installation, and what is signed with it.
//!
//! One random secret lives in the catalog's settings. Every use signs with its own purpose, so that
//! a signature made for one is worth nothing for another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Length of a block of SHA-256: the size of an HMAC key.
const BLOCK_BYTES: usize = 64;

/// What a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Opens the gallery of a principal.
    Gallery,
    /// Changes something in the gallery of a principal.
    GalleryAction,
    /// Changes something in the chat of a principal.
    ChatAction,
    /// Calls tools for the pages of an app.
    PageCalls,
    /// Shows to another process that a listener belongs to this installation.
    Listener,
    /// Makes the name of a visitor of an app from its cookie.
    Visitor,
    /// Lets a page write into its visitor's storage.
    PageStorage,
    /// Names a file that a call made.
    HostedFile,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Gallery => b"gallery\0",
            Self::GalleryAction => b"gallery action\0",
            Self::ChatAction => b"chat action\0",
            Self::PageCalls => b"page calls\0",
            Self::Listener => b"listener\0",
            Self::Visitor => b"visitor\0",
            Self::PageStorage => b"page storage\0",
            Self::HostedFile => b"hosted file\0",
        }
    }
}

/// The secret of an installation.
#[derive(Clone)]
pub struct InstallationKey {
    block: [u8; BLOCK_BYTES],
}

impl InstallationKey {
    /// The key made from the stored secret.
    pub fn new(secret: &str) -> Self {
        let mut block = [0_u8; BLOCK_BYTES];
        // HMAC's own rule: longer keys are hashed, shorter ones are filled with zeros.
        if secret.len() > BLOCK_BYTES {
            let digest = Sha256::digest(secret.as_bytes());
            block.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        } else {
            block.iter_mut().zip(secret.bytes()).for_each(|(to, from)| *to = from);
        }
        Self { block }
    }

    /// Signs a message: 43 characters of base64url.
    pub fn sign(&self, purpose: Purpose, message: &str) -> String {
        let mut mac = <Hmac<Sha256> as Mac>::new(&self.block.into());
        mac.update(purpose.label());
        mac.update(message.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Whether the signature is ours, compared in constant time.
    pub fn verify(&self, purpose: Purpose, message: &str, signature: &str) -> bool {
        self.sign(purpose, message).as_bytes().ct_eq(signature.as_bytes()).into()
    }

    /// The key in a launch link: names the principal and proves that we made it.
    pub fn launch_key(&self, principal: &str) -> String {
        let name = URL_SAFE_NO_PAD.encode(principal);
        let signature = self.sign(Purpose::Gallery, principal);
        format!("{name}.{signature}")
    }

    /// The principal that a launch key opens the gallery of.
    pub fn principal_of_launch_key(&self, key: &str) -> Option<String> {
        let (name, signature) = key.split_once('.')?;
        let principal = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
        self.verify(Purpose::Gallery, &principal, signature).then_some(principal)
    }
}

impl std::fmt::Debug for InstallationKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("InstallationKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_key_names_its_principal_and_nobody_else_can_make_it() {
        let key = InstallationKey::new("first");
        let launch = key.launch_key("anna@example.org");
        assert_eq!(key.principal_of_launch_key(&launch).as_deref(), Some("anna@example.org"));
        assert_eq!(InstallationKey::new("second").principal_of_launch_key(&launch), None);

        let (_, signature) = launch.split_once('.').unwrap();
        let forged = format!("{}.{signature}", URL_SAFE_NO_PAD.encode("berta"));
        assert_eq!(key.principal_of_launch_key(&forged), None);
        assert_eq!(key.principal_of_launch_key(""), None);
        assert_eq!(key.principal_of_launch_key("YQ."), None);
    }

    #[test]
    fn a_signature_serves_one_purpose() {
        let key = InstallationKey::new("secret");
        let signature = key.sign(Purpose::Gallery, "text");
        assert!(key.verify(Purpose::Gallery, "text", &signature));
        assert!(!key.verify(Purpose::Listener, "text", &signature));
        assert!(!key.verify(Purpose::Gallery, "other", &signature));
    }

    #[test]
    fn signatures_are_plain_hmac_sha256() {
        // Value of `printf 'gallery\0text' | openssl dgst -sha256 -hmac secret`, in base64url.
        let expected = "-gpFifyAIzQkKAI8SzYOUX-srfcNvrO_uGAy4jqKfuI";
        assert_eq!(InstallationKey::new("secret").sign(Purpose::Gallery, "text"), expected);
    }
}
