//! The code that runs inside, as part of this program.

use std::os::fd::RawFd;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::plan::{LaunchPlan, PRIVATE_HOME};
use super::seccomp::Programs;

/// The interpreter's first lines: load the modules out of the descriptor it was given, and go.
pub(super) const BOOT: &str = "\
import json, sys, types
with open(int(sys.argv[1]), 'rb') as file:
    bundle = json.load(file)
for name, source in bundle.pop('modules'):
    module = types.ModuleType(name)
    module.__file__ = name
    sys.modules[name] = module
    exec(compile(source, '<' + name + '>', 'exec'), module.__dict__)
sys.modules['atelier_zygote'].main(bundle)
";

/// Name and source, in the order in which they need each other.
const MODULES: [(&str, &str); 8] = [
    ("atelier_layers", include_str!("../../../sandbox/layers.py")),
    ("atelier_bridge", include_str!("../../../sandbox/bridge.py")),
    ("atelier_render", include_str!("../../../sandbox/render.py")),
    ("atelier_tracebacks", include_str!("../../../sandbox/tracebacks.py")),
    ("atelier_figures", include_str!("../../../sandbox/figures.py")),
    ("atelier_inspection", include_str!("../../../sandbox/inspection.py")),
    ("atelier_runner", include_str!("../../../sandbox/runner.py")),
    ("atelier_zygote", include_str!("../../../sandbox/zygote.py")),
];

/// Everything that a zygote needs, as JSON.
pub(super) fn bundle(plan: &LaunchPlan, programs: &Programs, rules: Option<RawFd>) -> String {
    let encode = |programs: &[Vec<u8>]| -> Vec<String> {
        programs.iter().map(|program| STANDARD.encode(program)).collect()
    };
    json!({
        "modules": MODULES,
        "plan": {
            "namespaces": plan.namespaces,
            "fenced": plan.fenced(),
            "folder": PRIVATE_HOME,
            "cache": plan.cache_folder(),
            "search_paths": plan.search_paths,
            "preload": plan.preload,
            "limits": plan.limits,
        },
        "landlock": rules,
        "seccomp": {"common": encode(&programs.common), "worker": encode(&programs.worker)},
    })
    .to_string()
}
