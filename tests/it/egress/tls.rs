//! Real TLS through the proxy: a made server talks to an https API whose certificate a private authority
//! signed, and to nobody else. The proxy carries bytes that it cannot read.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use atelier::config::factory::FactoryConfig;
use atelier::factory::host::client::ServerProcess;
use atelier::factory::host::launcher::{LaunchError, Program};
use atelier::factory::host::reach::{self, Given, Reach};
use axum::Router;
use axum::extract::Request;
use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;

use super::product::{package, write};
use super::support::{API, Lines, Names, Workbench, open_up, reach};
use crate::sandbox::support::as_every_user;

/// An authority of this test alone.
struct Authority {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        Self { certificate: parameters.self_signed(&key).unwrap(), key }
    }

    fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A server's way to prove that it is called so.
    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.use_authority_key_identifier_extension = true;
        let certificate = parameters.signed_by(&key, &self.certificate, &self.key).unwrap();
        drop(tokio_rustls::rustls::crypto::ring::default_provider().install_default());
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        );
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

/// Connections whose handshake came to its end.
struct Handshakes {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Handshakes {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            // Clients that do not like the certificate hang up.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// An https API that says what it was asked for.
struct HttpsApi {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl HttpsApi {
    async fn start(acceptor: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let inbox = Arc::clone(&seen);
        let router = Router::new().fallback(async move |request: Request| {
            let key = request.headers().get("x-api-key").and_then(|key| key.to_str().ok());
            let line =
                format!("{} {} {}", request.method(), request.uri(), key.unwrap_or("no key"));
            inbox.lock().unwrap().push(line);
            ([("content-type", "application/json")], r#"{"name": "Rex"}"#)
        });
        let listener = Handshakes { listener, acceptor };
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, seen, task }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for HttpsApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Calls the API's operation on a server that is started for it: the answer, as text.
async fn called(bench: &Workbench, base: &str, port: u16) -> String {
    let package = package(base, port);
    write(&package, &bench.package());
    let mut given = Given {
        values: BTreeMap::from([("KEY".to_owned(), "of the operator".to_owned())]),
        by_operator: ["KEY".to_owned()].into(),
    };
    let reach = reach::of(&package, &mut given).unwrap();
    called_with(bench, given.values, reach).await
}

async fn called_with(
    bench: &Workbench,
    variables: BTreeMap<String, String>,
    reach: Reach,
) -> String {
    let program =
        Program { arguments: vec!["server.py".to_owned()], variables, ..bench.program("", reach) };
    let started = bench.launcher.start(program).await.unwrap();
    assert!(started.isolation.starts_with("sandbox, tier `"), "{}", started.isolation);
    let server = ServerProcess::greet(started).await.unwrap();
    let answer = server.call("getPet", json!({"petId": 7}).as_object().unwrap().clone()).await;
    server.stop().await;
    serde_json::to_string(&answer.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_goes_through_the_proxy_unread() {
    as_every_user("egress::tls::tls_goes_through_the_proxy_unread", async || {
        let lines = Lines::default();
        // This process runs nothing but this test.
        tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).init();
        let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
        let good = HttpsApi::start(ours.acceptor(API)).await;
        let undeclared = HttpsApi::start(ours.acceptor(API)).await;
        let unsigned = HttpsApi::start(theirs.acceptor(API)).await;
        let misnamed = HttpsApi::start(ours.acceptor("other.test")).await;
        let folder = tempfile::Builder::new().prefix("trust").tempdir().unwrap();
        open_up(folder.path());
        let bundle = folder.path().join("authorities.pem");
        std::fs::write(&bundle, ours.pem()).unwrap();
        let config = FactoryConfig {
            private_hosts: vec![API.to_owned()],
            ca_bundle: Some(bundle),
            ..FactoryConfig::default()
        };
        let bench = Workbench::configured(config, Names::new(&[(API, "127.0.0.1")]));
        let base = format!("https://{API}:{{port}}/v1");

        let answer = called(&bench, &base, good.port).await;
        assert!(answer.contains("Rex"), "{answer}");
        assert_eq!(good.seen(), ["GET /v1/pets/7 of the operator"]);

        // Another port of that host is another host, whatever its certificate.
        let variables = BTreeMap::from([
            ("KEY".to_owned(), "of the operator".to_owned()),
            ("API_BASE_URL".to_owned(), format!("https://{API}:{}/v1", undeclared.port)),
        ]);
        let declared = reach(&[format!("{API}:{}", good.port)]);
        let answer = called_with(&bench, variables, declared).await;
        let reason = format!("`{API}:{}` is not among the declared hosts", undeclared.port);
        assert!(answer.contains("the proxy does not let this server reach"), "{answer}");
        assert!(answer.contains(&reason), "{answer}");

        let answer = called(&bench, &base, unsigned.port).await;
        let reason = format!("the certificate of the API at https://{API} is not accepted: ");
        assert!(answer.contains(&format!("{reason}unable to get local issuer")), "{answer}");
        let answer = called(&bench, &base, misnamed.port).await;
        assert!(answer.contains(&reason), "{answer}");
        assert!(answer.contains("Hostname mismatch"), "{answer}");

        for api in [&undeclared, &unsigned, &misnamed] {
            assert_eq!(api.seen(), Vec::<String>::new());
        }
        bench.close().await;
        // Tunnels alone, one for each call: a certificate that is refused is not looked at again.
        let connections = lines.of_connections();
        assert_eq!(connections.len(), 4, "{connections:#?}");
        let outcomes = [
            (good.port, "egress.way=\"tunnel\" egress.outcome=\"closed\""),
            (undeclared.port, "egress.outcome=\"undeclared\""),
            (unsigned.port, "egress.way=\"tunnel\""),
            (misnamed.port, "egress.way=\"tunnel\""),
        ];
        for (line, (port, outcome)) in connections.iter().zip(outcomes) {
            assert!(line.contains(&format!("egress.destination=\"{API}:{port}\"")), "{line}");
            assert!(line.contains(outcome), "{line}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_to_trust_is_the_operators_to_say() {
    let ours = Authority::new("ours");
    let api = HttpsApi::start(ours.acceptor(API)).await;
    let folder = tempfile::tempdir().unwrap();
    let bench = |ca_bundle| {
        let config = FactoryConfig {
            private_hosts: vec![API.to_owned()],
            ca_bundle,
            ..FactoryConfig::default()
        };
        Workbench::configured(config, Names::new(&[(API, "127.0.0.1")]))
    };
    // Without the setting a private authority is nobody.
    let without = bench(None);
    let answer = called(&without, &format!("https://{API}:{{port}}/v1"), api.port).await;
    assert!(answer.contains("is not accepted: unable to get local issuer"), "{answer}");
    without.close().await;
    // A setting that cannot be used is named before anything is started.
    let missing = folder.path().join("missing.pem");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    for (file, reason) in [(missing, "cannot be read"), (empty, "holds no certificate in PEM")] {
        let bench = bench(Some(file.clone()));
        let error = bench.refused("pass", reach(&["api.test".to_owned()])).await;
        let LaunchError::Failed(told) = error else { panic!("{error:?}") };
        assert!(told.starts_with(&format!("`factory.ca_bundle` is {}", file.display())), "{told}");
        assert!(told.contains(reason), "{told}");
        // Who has no business on the web needs none.
        assert!(bench.run("pass", Reach::default()).await.ok);
        bench.close().await;
    }
    assert_eq!(api.seen(), Vec::<String>::new());
}
