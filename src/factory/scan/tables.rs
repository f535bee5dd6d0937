//! What is dangerous by its name.

use super::Severity;

/// What a path object is called here.
pub(super) const PATH: &str = "pathlib.Path()";

/// Attributes that lead from any object to the interpreter.
pub(super) const INTERNALS: [&str; 12] = [
    "__subclasses__",
    "__globals__",
    "__builtins__",
    "__code__",
    "__closure__",
    "f_globals",
    "f_locals",
    "f_builtins",
    "f_back",
    "gi_frame",
    "cr_frame",
    "tb_frame",
];

const SHELL: &str = "starts a shell; call the library that does the work, or name the program and \
                     its arguments in a list";
const EXECUTE: &str = "turns text into code; parse the text (`json.loads`, `ast.literal_eval`, a \
                       table of functions)";
const DESERIALIZE: &str = "runs whatever the data says; use JSON";

/// What is wrong with a name, wherever it is used.
pub(super) fn references(path: &str) -> Option<(&'static str, Severity, &'static str)> {
    use Severity::{High, Medium};
    Some(match path {
        "os.system"
        | "os.popen"
        | "pty.spawn"
        | "subprocess.getoutput"
        | "subprocess.getstatusoutput"
        | "asyncio.create_subprocess_shell"
        | "asyncio.subprocess.create_subprocess_shell"
        | "posix.system"
        | "popen2.popen2"
        | "commands.getoutput" => ("process-shell", High, SHELL),
        "builtins.eval"
        | "builtins.exec"
        | "builtins.compile"
        | "builtins.__import__"
        | "runpy.run_path"
        | "runpy.run_module"
        | "code.InteractiveInterpreter"
        | "code.InteractiveConsole"
        | "code.interact"
        | "types.FunctionType"
        | "types.CodeType"
        | "importlib.util.spec_from_file_location"
        | "importlib.machinery.SourceFileLoader"
        | "codeop.compile_command" => ("code-execution", High, EXECUTE),
        "pickle.load"
        | "pickle.loads"
        | "pickle.Unpickler"
        | "_pickle.loads"
        | "_pickle.load"
        | "cPickle.load"
        | "cPickle.loads"
        | "dill.load"
        | "dill.loads"
        | "cloudpickle.load"
        | "cloudpickle.loads"
        | "marshal.load"
        | "marshal.loads"
        | "shelve.open"
        | "jsonpickle.decode"
        | "jsonpickle.loads"
        | "joblib.load"
        | "pandas.read_pickle"
        | "yaml.unsafe_load"
        | "yaml.unsafe_load_all"
        | "yaml.full_load"
        | "yaml.full_load_all"
        | "ruamel.yaml.unsafe_load" => ("unsafe-deserialization", High, DESERIALIZE),
        "ssl._create_unverified_context"
        | "ssl.CERT_NONE"
        | "ssl._https_verify_certificates"
        | "paramiko.AutoAddPolicy"
        | "paramiko.WarningPolicy"
        | "paramiko.client.AutoAddPolicy"
        | "paramiko.client.WarningPolicy" => (
            "tls-verification-off",
            High,
            "lets anybody answer in the other side's name; leave the check on",
        ),
        "tempfile.mktemp" | "os.tempnam" | "os.tmpnam" => (
            "insecure-temporary-file",
            Medium,
            "names a file that somebody else can make first; use `tempfile.NamedTemporaryFile`",
        ),
        "sys._getframe" | "inspect.currentframe" | "gc.get_objects" | "gc.get_referrers" => {
            ("interpreter-internals", High, "reaches into the interpreter")
        }
        _ if is_weak_cipher(path) => (
            "weak-cipher",
            Medium,
            "is a cipher that can be broken; use AES-GCM or ChaCha20-Poly1305",
        ),
        _ => return None,
    })
}

fn is_weak_cipher(path: &str) -> bool {
    let mut parts = path.rsplit('.');
    let last = parts.next().unwrap_or_default();
    if path.starts_with("Crypto.Cipher.") || path.starts_with("Cryptodome.Cipher.") {
        return last == "MODE_ECB"
            || matches!(last, "DES" | "DES3" | "ARC4" | "ARC2" | "Blowfish" | "CAST");
    }
    path.starts_with("cryptography.hazmat.")
        && matches!(last, "ECB" | "ARC4" | "TripleDES" | "Blowfish" | "IDEA" | "CAST5" | "SEED")
}

/// Modules that call code outside Python.
pub(super) fn native(module: &str) -> Option<&'static str> {
    matches!(module.split('.').next().unwrap_or(module), "ctypes" | "cffi" | "_ctypes").then_some(
        "calls functions of native libraries, which no rule can judge; use a package made for Python",
    )
}

/// Functions that start a program without a shell.
pub(super) fn starts_process(path: &str) -> bool {
    if let Some(name) = path.strip_prefix("subprocess.") {
        return matches!(name, "run" | "call" | "check_call" | "check_output" | "Popen");
    }
    if let Some(name) = path.strip_prefix("os.") {
        return name.starts_with("exec")
            || name.starts_with("spawn")
            || name.starts_with("posix_spawn")
            || matches!(name, "fork" | "forkpty" | "startfile");
    }
    matches!(path, "asyncio.create_subprocess_exec" | "asyncio.subprocess.create_subprocess_exec")
}

/// Reading XML so that it may point to files or grow without bound.
pub(super) fn reads_xml(path: &str) -> bool {
    let Some((module, name)) = path.rsplit_once('.') else { return false };
    match module {
        "xml.etree.ElementTree" | "xml.etree.cElementTree" => matches!(
            name,
            "parse"
                | "fromstring"
                | "fromstringlist"
                | "iterparse"
                | "XML"
                | "XMLID"
                | "XMLParser"
                | "XMLPullParser"
        ),
        "xml.dom.minidom" | "xml.dom.pulldom" | "xml.dom.expatbuilder" => {
            matches!(name, "parse" | "parseString")
        }
        "xml.sax" => matches!(name, "parse" | "parseString" | "make_parser"),
        "xml.parsers.expat" => name == "ParserCreate",
        _ => false,
    }
}

/// Which argument of a request holds the address, by position; `None`: it is no request.
pub(super) fn address_of(path: &str) -> Option<usize> {
    let (owner, name) = path.rsplit_once('.')?;
    let by_verb = |name: &str| match name {
        "get" | "post" | "put" | "patch" | "delete" | "head" | "options" | "ws_connect" => Some(0),
        "request" | "stream" => Some(1),
        _ => None,
    };
    match owner {
        "requests"
        | "httpx"
        | "httpx2"
        | "requests.api"
        | "requests.Session()"
        | "requests.session()"
        | "httpx.Client()"
        | "httpx.AsyncClient()"
        | "httpx2.Client()"
        | "httpx2.AsyncClient()"
        | "aiohttp.ClientSession()"
        | "urllib3.PoolManager()" => by_verb(name),
        "urllib3" | "aiohttp" if name == "request" => Some(1),
        "urllib.request" if matches!(name, "urlopen" | "Request" | "urlretrieve") => Some(0),
        "websockets" | "websockets.client" | "websocket"
            if matches!(name, "connect" | "create_connection") =>
        {
            Some(0)
        }
        _ => None,
    }
}

/// Connections that are no requests: the position of their host, which may be a tuple.
pub(super) fn host_of(path: &str) -> Option<usize> {
    match path {
        "socket.create_connection"
        | "socket.socket().connect"
        | "asyncio.open_connection"
        | "smtplib.SMTP"
        | "smtplib.SMTP_SSL"
        | "ftplib.FTP"
        | "ftplib.FTP_TLS"
        | "imaplib.IMAP4"
        | "imaplib.IMAP4_SSL"
        | "poplib.POP3"
        | "poplib.POP3_SSL"
        | "telnetlib.Telnet"
        | "http.client.HTTPConnection"
        | "http.client.HTTPSConnection"
        | "paramiko.SSHClient().connect" => Some(0),
        _ => None,
    }
}

/// What is done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileAction {
    /// Its content or the names in a folder are read.
    Read,
    /// It is made, changed or removed.
    Write,
    /// The mode tells.
    Open,
}

/// What a function does with the file that its first argument names, or its receiver.
pub(super) fn file_action(path: &str) -> Option<FileAction> {
    use FileAction::{Open, Read, Write};
    Some(match path {
        "builtins.open"
        | "io.open"
        | "codecs.open"
        | "os.open"
        | "gzip.open"
        | "bz2.open"
        | "lzma.open"
        | "aiofiles.open"
        | "anyio.open_file"
        | "pathlib.Path().open"
        | "zipfile.ZipFile"
        | "tarfile.open" => Open,
        "os.listdir"
        | "os.scandir"
        | "os.walk"
        | "os.readlink"
        | "pathlib.Path().read_text"
        | "pathlib.Path().read_bytes"
        | "pathlib.Path().iterdir"
        | "pathlib.Path().glob"
        | "pathlib.Path().rglob"
        | "linecache.getlines"
        | "glob.glob" => Read,
        "os.remove"
        | "os.unlink"
        | "os.rmdir"
        | "os.removedirs"
        | "os.rename"
        | "os.replace"
        | "os.mkdir"
        | "os.makedirs"
        | "os.symlink"
        | "os.link"
        | "os.truncate"
        | "os.chmod"
        | "os.chown"
        | "shutil.rmtree"
        | "shutil.move"
        | "shutil.copy"
        | "shutil.copy2"
        | "shutil.copyfile"
        | "shutil.copytree"
        | "shutil.unpack_archive"
        | "pathlib.Path().write_text"
        | "pathlib.Path().write_bytes"
        | "pathlib.Path().unlink"
        | "pathlib.Path().rmdir"
        | "pathlib.Path().mkdir"
        | "pathlib.Path().touch"
        | "pathlib.Path().rename"
        | "pathlib.Path().replace"
        | "pathlib.Path().chmod"
        | "pathlib.Path().symlink_to"
        | "pathlib.Path().hardlink_to" => Write,
        _ => return None,
    })
}
