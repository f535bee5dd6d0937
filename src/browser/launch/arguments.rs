//! Chrome's command line and environment.

use std::path::Path;

/// What every start has. The rules for names and the dead proxy are a second wall behind the
/// namespace, and the first one where there is no namespace.
const ARGUMENTS: &[&str] = &[
    "--headless=new",
    "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-quic",
    "--dns-prefetch-disable",
    "--no-pings",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-component-extensions-with-background-pages",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-domain-reliability",
    "--disable-client-side-phishing-detection",
    "--disable-search-engine-choice-screen",
    "--disable-field-trial-config",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-gpu",
    "--disable-software-rasterizer",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-hang-monitor",
    "--disable-ipc-flooding-protection",
    "--disable-prompt-on-repost",
    "--disable-features=Translate,OptimizationHints,MediaRouter,DialMediaRouteProvider,\
     InterestFeedContentSuggestions,AcceptCHFrame,HttpsUpgrades,IsolateOrigins,site-per-process,\
     Prerender2,SpeculationRulesPrefetchFuture,BackForwardCache,PaintHolding,AutofillServerCommunication",
    "--disable-site-isolation-trials",
    "--enable-automation",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-service-autorun",
    "--password-store=basic",
    "--use-mock-keychain",
    "--metrics-recording-only",
    "--mute-audio",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--export-tagged-pdf",
    "--generate-pdf-document-outline",
    "--disk-cache-size=1",
    "--window-size=1280,800",
    "--no-startup-window",
];

pub(super) fn arguments(folder: &Path, has_sandbox: bool) -> Vec<String> {
    let mut arguments: Vec<String> = ARGUMENTS.iter().map(|text| (*text).to_owned()).collect();
    arguments.push(format!("--user-data-dir={}", folder.join("chrome").display()));
    if !has_sandbox {
        arguments.push("--no-sandbox".to_owned());
    }
    arguments
}

/// Nothing of ours: no keys, no proxies, no folders of the user.
pub(super) fn environment(folder: &Path) -> Vec<String> {
    let folder = folder.display();
    vec![
        "PATH=/usr/local/bin:/usr/bin:/bin".to_owned(),
        "LANG=C.UTF-8".to_owned(),
        format!("HOME={folder}"),
        format!("TMPDIR={folder}"),
        format!("XDG_CONFIG_HOME={folder}/.config"),
        format!("XDG_CACHE_HOME={folder}/.cache"),
        format!("XDG_RUNTIME_DIR={folder}"),
        "DBUS_SESSION_BUS_ADDRESS=disabled:".to_owned(),
    ]
}
