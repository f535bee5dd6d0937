//! Whether code imports anything beside the standard library, by a look at its text.
//!
//! A guess is enough: it chooses between two zygotes of one interpreter, and code that is guessed
//! wrongly runs just the same, a little slower.

use std::collections::BTreeSet;

/// Modules that this program adds.
const OURS: [&str; 1] = ["atelier_tools"];

/// Whether a line of the code imports a module that is not in `standard`.
pub(super) fn needs_packages(code: &str, standard: &BTreeSet<String>) -> bool {
    code.lines()
        .flat_map(|line| line.split(';'))
        .flat_map(imported)
        .any(|name| !standard.contains(name) && !OURS.contains(&name))
}

/// Top names of the modules that a statement imports.
fn imported(statement: &str) -> impl Iterator<Item = &str> {
    let mut words = statement.trim_start().splitn(2, char::is_whitespace);
    let modules = match (words.next(), words.next()) {
        (Some("import"), Some(rest)) => rest,
        (Some("from"), Some(rest)) => rest.split_whitespace().next().unwrap_or_default(),
        _ => "",
    };
    modules.split(',').map(top_name).filter(|name| !name.is_empty())
}

fn top_name(module: &str) -> &str {
    let module = module.trim_start();
    let end = module
        .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .unwrap_or(module.len());
    module.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_told_from_the_standard_library() {
        let standard = ["os", "json", "asyncio"].map(str::to_owned).into();
        for code in [
            "",
            "import os, json\nprint('import pandas')",
            "from os.path import join",
            "from . import x",
            "import atelier_tools",
            "x = 1 # import pandas",
        ] {
            assert!(!needs_packages(code, &standard), "{code}");
        }
        for code in [
            "import pandas",
            "import os, numpy as np",
            "import os; import numpy",
            "if True:\n    from matplotlib.pyplot import plot",
            "import os\r\nimport seaborn\r\n",
        ] {
            assert!(needs_packages(code, &standard), "{code}");
        }
    }
}
