//! Calls: what they do, and what they return.

use ruff_python_ast::{Expr, ExprCall};

use super::Severity::{High, Low, Medium};
use super::expressions::mentions;
use super::names;
use super::program::Scan;
use super::tables;
use super::value::{Literal, Origin, Value};

/// A call with everything about it read.
pub(super) struct Call<'tree> {
    pub(super) node: &'tree ExprCall,
    /// The function's dotted name, or nothing.
    pub(super) path: String,
    /// Name of the method or function.
    pub(super) name: String,
    /// What the method belongs to.
    pub(super) owner: Value,
    pub(super) arguments: Vec<Value>,
    /// Those of `**options` too.
    pub(super) keywords: Vec<(String, Value)>,
    /// Whether there is a `**options` of which nothing is known.
    pub(super) open: bool,
}

impl Call<'_> {
    pub(super) fn keyword(&self, name: &str) -> Option<&Value> {
        self.keywords.iter().find(|(keyword, _)| keyword == name).map(|(_, value)| value)
    }

    pub(super) fn argument(&self, place: usize, name: &str) -> Option<&Value> {
        self.arguments.get(place).or_else(|| self.keyword(name))
    }

    fn is_false(&self, name: &str) -> bool {
        self.keyword(name).is_some_and(|value| value.literal == Literal::False)
    }

    fn is_true(&self, name: &str) -> bool {
        self.keyword(name).is_some_and(|value| value.literal == Literal::True)
    }
}

impl<'tree> Scan<'_, 'tree> {
    /// Something that is dangerous whatever is done with it.
    pub(super) fn reference(&mut self, node: &Expr, value: &Value) {
        if let Some((rule, severity, why)) = tables::references(value.path()) {
            let name = value.path().strip_prefix("builtins.").unwrap_or(value.path());
            self.find(node, rule, severity, format!("`{name}` {why}"));
        }
        if value.path() == "builtins.__builtins__" {
            self.internals(node, "__builtins__");
        }
    }

    pub(super) fn internals(&mut self, node: &Expr, name: &str) {
        let message = format!("`{name}` reaches into the interpreter; no tool needs it");
        self.find(node, "interpreter-internals", High, message);
    }

    pub(super) fn by_built_name(&mut self, node: &Expr) {
        let message = "a function is looked up by a name that is not written down; use a dictionary of \
                       those that are meant";
        self.find(node, "code-execution", High, message.to_owned());
    }

    pub(super) fn call(&mut self, node: &'tree ExprCall) -> Value {
        let (owner, function, name) = match node.func.as_ref() {
            Expr::Attribute(attribute) => {
                let owner = self.value(&attribute.value);
                let function = self.attribute(&node.func, &owner, attribute.attr.as_str());
                (owner, function, attribute.attr.to_string())
            }
            Expr::Name(called) => (Value::default(), self.value(&node.func), called.id.to_string()),
            _ => (Value::default(), self.value(&node.func), String::new()),
        };
        let arguments: Vec<Value> =
            node.arguments.args.iter().map(|argument| self.value(argument)).collect();
        let mut keywords = Vec::new();
        let mut open = false;
        for keyword in &node.arguments.keywords {
            if let Some(name) = &keyword.arg {
                self.making.push(name.to_string());
                let value = self.value(&keyword.value);
                self.making.pop();
                self.keep_out_of_code(&keyword.value, name.as_str(), &value);
                keywords.push((name.to_string(), value));
            } else {
                let value = self.value(&keyword.value);
                open |= value.entries.is_empty();
                keywords.extend(value.entries.iter().cloned());
            }
        }
        let path = function.path().to_owned();
        let call = Call { node, path, name, owner, arguments, keywords, open };
        let rules = self.rules;
        for rule in rules.called(&call.path) {
            self.find(node, &rule.name, rule.severity, rule.message.clone());
        }
        if let Some(returned) = self.own_function(&call) {
            return returned;
        }
        if call.path != "local" {
            self.processes(&call);
            self.code(&call);
            self.data(&call);
            self.transport(&call);
            self.pages(&call);
            self.guessable(&call);
            self.servers(&call);
            self.flows(&call);
        }
        self.secrets_told(&call);
        self.result(&call, &function)
    }

    /// A function of this program: what it is given is noted; what it returns is known.
    fn own_function(&mut self, call: &Call<'tree>) -> Option<Value> {
        let own = call.path == "local" || matches!(call.owner.path(), "" | "local");
        if !own || !self.exchanges.contains_key(&call.name) {
            return None;
        }
        for (place, value) in call.arguments.iter().enumerate() {
            self.give(&call.name, place.to_string(), value);
        }
        for (name, value) in &call.keywords {
            self.give(&call.name, name.clone(), value);
        }
        let exchange = self.exchanges.get(&call.name)?;
        Some(exchange.returned.clone().unwrap_or_else(|| Value::of(Origin::Unknown)))
    }

    fn processes(&mut self, call: &Call<'tree>) {
        if !tables::starts_process(&call.path) {
            if call.name == "exec_command"
                && call
                    .arguments
                    .first()
                    .is_some_and(|text| text.built || text.origin() == Origin::Argument)
            {
                let message = "a command line for another machine is put together from values; use \
                               `shlex.quote` or a fixed command";
                self.find(call.node, "process-shell", High, message.to_owned());
            }
            return;
        }
        let name = &call.path;
        match call.keyword("shell").map(|value| value.literal) {
            None | Some(Literal::False | Literal::None) => {
                let message =
                    format!("`{name}` starts a program; tools should do their work in Python");
                self.find(call.node, "process-start", Medium, message);
            }
            Some(Literal::True | Literal::Other | Literal::Number(_)) => {
                let message = format!(
                    "`{name}` with `shell=` starts a shell; name the program and its arguments in a list"
                );
                self.find(call.node, "process-shell", High, message);
            }
        }
    }

    fn code(&mut self, call: &Call<'tree>) {
        match call.path.as_str() {
            "importlib.import_module" | "importlib.__import__"
                if call.arguments.first().is_some_and(|name| name.constant().is_none()) =>
            {
                let message =
                    "a module is loaded by a name that is not written down; import what is meant";
                self.find(call.node, "code-execution", High, message.to_owned());
            }
            "builtins.getattr" | "operator.attrgetter" | "operator.methodcaller" => {
                let (owner, name) = match call.arguments.as_slice() {
                    [owner, name, ..] => (owner.path(), name),
                    [name] => ("", name),
                    [] => return,
                };
                let is_module = !owner.is_empty() && owner != "local" && !owner.contains("()");
                if is_module && name.constant().is_none() {
                    self.by_built_name(&call.node.func);
                }
                if let Some(name) = name.constant()
                    && tables::INTERNALS.contains(&name.as_str())
                {
                    self.internals(&call.node.func, &name);
                }
            }
            "jinja2.Template"
            | "mako.template.Template"
            | "string.Template"
            | "jinja2.Environment().from_string"
            | "jinja2.sandbox.SandboxedEnvironment().from_string"
                if !call.path.starts_with("string.")
                    && call.arguments.first().is_some_and(is_open) =>
            {
                let message = "the text of a template is made from values, which may hold code; keep \
                               templates fixed and pass values to `render`";
                self.find(call.node, "template-injection", High, message.to_owned());
            }
            _ => {}
        }
    }

    fn data(&mut self, call: &Call<'tree>) {
        let unsafe_data = match call.path.as_str() {
            "yaml.load" | "yaml.load_all" => {
                let loader = call.argument(1, "Loader").map(Value::path);
                !loader.is_some_and(|loader| {
                    matches!(
                        loader.rsplit('.').next().unwrap_or_default(),
                        "SafeLoader" | "CSafeLoader" | "BaseLoader" | "CBaseLoader"
                    )
                })
            }
            "numpy.load" => call.is_true("allow_pickle"),
            "torch.load" => !call.is_true("weights_only"),
            _ => false,
        };
        if unsafe_data {
            let message = format!(
                "`{}` here runs whatever the data says; use `yaml.safe_load`, JSON, or a format \
                 without objects",
                call.path
            );
            self.find(call.node, "unsafe-deserialization", High, message);
        }
        let lxml = call.path.strip_prefix("lxml.etree.").is_some_and(|name| match name {
            "XMLParser" => !call.is_false("resolve_entities"),
            "parse" | "fromstring" | "XML" | "iterparse" => call.argument(1, "parser").is_none(),
            _ => false,
        });
        if lxml || tables::reads_xml(&call.path) {
            let message =
                "XML from elsewhere may point to files or grow without bound; use `defusedxml`";
            self.find(call.node, "xml-entities", Medium, message.to_owned());
        }
        if call.name == "extractall"
            && (call.owner.path().starts_with("tarfile.") || call.keyword("filter").is_some())
            && call
                .keyword("filter")
                .and_then(Value::constant)
                .is_none_or(|filter| !matches!(filter.as_str(), "data" | "tar"))
            && call.keyword("filter").is_none_or(|filter| filter.path() != "tarfile.data_filter")
        {
            let message = "a tar archive may write outside its folder; pass `filter=\"data\"`";
            self.find(call.node, "archive-extraction", Medium, message.to_owned());
        }
        if let Some(Literal::Number(mode)) = match call.path.as_str() {
            "os.chmod" => call.argument(1, "mode").map(|mode| mode.literal),
            "pathlib.Path().chmod" => call.argument(0, "mode").map(|mode| mode.literal),
            _ => None,
        } && mode & 0o002 != 0
        {
            let message = format!("mode {mode:#o} lets everybody on the machine write");
            self.find(call.node, "loose-permissions", Medium, message);
        }
    }

    fn transport(&mut self, call: &Call<'tree>) {
        for name in ["verify", "verify_ssl", "ssl_verify", "ssl", "check_hostname"] {
            if call.is_false(name) {
                let message = format!("`{name}=False`: certificates are not checked; leave it on");
                self.find(call.node, "tls-verification-off", High, message);
            }
        }
        let requests =
            call.path.starts_with("requests.") && tables::address_of(&call.path).is_some();
        if requests && call.keyword("timeout").is_none() && !call.open {
            let message = "without `timeout=` a silent server stops the tool for ever";
            self.find(call.node, "request-without-timeout", Low, message.to_owned());
        }
    }

    fn pages(&mut self, call: &Call<'tree>) {
        let off = match call.path.as_str() {
            "jinja2.Environment" => {
                !call.open
                    && call
                        .keyword("autoescape")
                        .is_none_or(|value| matches!(value.literal, Literal::False | Literal::None))
            }
            "markupsafe.Markup" | "django.utils.safestring.mark_safe" | "flask.Markup" => {
                call.arguments.first().is_some_and(is_open)
            }
            _ => false,
        };
        if off {
            let message = "values are put into the page as markup; pass `autoescape=True`";
            self.find(call.node, "autoescape-off", Medium, message.to_owned());
        }
    }

    /// Weak hashes and guessable numbers, where something secret is made of them.
    fn guessable(&mut self, call: &Call<'tree>) {
        let hash = match call.path.as_str() {
            "hashlib.md5" | "hashlib.sha1" | "Crypto.Hash.MD5.new" | "Crypto.Hash.SHA1.new" => true,
            "hashlib.new" => call
                .argument(0, "name")
                .and_then(Value::constant)
                .is_some_and(|name| matches!(name.to_lowercase().as_str(), "md5" | "sha1" | "md4")),
            _ => false,
        };
        let making = |wanted: fn(&str) -> bool| self.making.iter().any(|name| wanted(name));
        if hash && !call.is_false("usedforsecurity") {
            let of_secret =
                call.node.arguments.args.iter().any(|text| mentions(text, names::is_secret));
            if of_secret || making(names::is_unguessable) {
                let message = format!(
                    "`{}` is broken; use `hashlib.scrypt` for passwords and `hmac` with SHA-256 for signatures",
                    call.path
                );
                self.find(call.node, "weak-hash", Medium, message);
                return;
            }
        }
        let random = call.path.strip_prefix("random.").is_some_and(|name| {
            !matches!(name, "seed" | "SystemRandom" | "shuffle" | "Random")
                && !name.starts_with("SystemRandom")
        });
        if random && making(names::is_unguessable) {
            let message = "these numbers can be guessed; use the module `secrets`";
            self.find(call.node, "weak-random", Medium, message.to_owned());
        }
    }

    fn servers(&mut self, call: &Call<'tree>) {
        let everywhere = |value: &Value| {
            value.constant().is_some_and(|host| matches!(host.as_str(), "0.0.0.0" | "::" | "[::]"))
        };
        let named = ["host", "bind", "address", "listen", "hostname"]
            .iter()
            .filter_map(|name| call.keyword(name))
            .any(everywhere);
        let bound = matches!(
            call.name.as_str(),
            "bind"
                | "create_server"
                | "start_server"
                | "TCPServer"
                | "HTTPServer"
                | "ThreadingHTTPServer"
        ) && call.arguments.iter().any(|address| {
            let host = address.entry("0").unwrap_or(address);
            everywhere(host)
                || (address.entry("1").is_some() && host.constant().as_deref() == Some(""))
        });
        if named || bound {
            let message = "every machine around can connect; listen on 127.0.0.1";
            self.find(call.node, "bind-all-interfaces", Medium, message.to_owned());
        }
        let debuggable = call.name == "run"
            || matches!(
                call.path.as_str(),
                "flask.Flask"
                    | "fastapi.FastAPI"
                    | "starlette.applications.Starlette"
                    | "aiohttp.web.Application"
            );
        if debuggable && call.is_true("debug") {
            let message = "`debug=True` shows programs and values to whoever provokes an error";
            self.find(call.node, "debug-on", Medium, message.to_owned());
        }
    }
}

/// Whether a text is not written down in the program.
fn is_open(text: &Value) -> bool {
    text.built || text.origin() == Origin::Argument
}
