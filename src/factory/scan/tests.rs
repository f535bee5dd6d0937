use std::path::Path;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Labels {
    snippet: Vec<Snippet>,
}

#[derive(Deserialize)]
struct Snippet {
    file: String,
    expect: Vec<String>,
    #[serde(default)]
    declares: Declares,
}

#[derive(Deserialize, Default)]
struct Declares {
    network: Option<Vec<String>>,
    environment: Option<Vec<String>>,
    #[serde(default)]
    files: FileUse,
}

#[expect(clippy::disallowed_methods, reason = "reads the labelled snippets")]
fn labelled() -> Vec<(Snippet, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/factory/scan");
    let labels = std::fs::read_to_string(folder.join("labels.toml")).unwrap();
    let labels: Labels = toml::from_str(&labels).unwrap();
    labels
        .snippet
        .into_iter()
        .map(|snippet| {
            let text = std::fs::read_to_string(folder.join(&snippet.file)).unwrap();
            (snippet, text)
        })
        .collect()
}

fn found(path: &str, text: &str, declared: &Declared) -> Vec<String> {
    let report = scan(&[SourceFile { path, text }], declared, &Rules::builtin());
    let mut found: Vec<String> = report
        .findings
        .iter()
        .map(|finding| format!("{}:{}", finding.rule, finding.severity.as_str()))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn python(text: &str) -> Vec<String> {
    found("tool.py", text, &Declared::default())
}

/// The share of labelled faults that are found with their severity, and of harmless programs of
/// which something is said; nothing beside the labels is said of the others either.
#[test]
fn labelled_programs_are_judged_as_labelled() {
    let (mut faults, mut seen, mut harmless, mut alarms) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for (snippet, text) in labelled() {
        let declared = Declared {
            environment: snippet.declares.environment,
            hosts: snippet.declares.network,
            packages: None,
            files: snippet.declares.files,
        };
        let found = found(&snippet.file, &text, &declared);
        faults += snippet.expect.len();
        for expected in &snippet.expect {
            if found.contains(expected) {
                seen += 1;
            } else {
                wrong.push(format!("{}: {expected} was missed, {found:?} found", snippet.file));
            }
        }
        let beyond: Vec<_> = found.iter().filter(|one| !snippet.expect.contains(one)).collect();
        harmless += usize::from(snippet.expect.is_empty());
        if !beyond.is_empty() {
            alarms += 1;
            wrong.push(format!("{}: {beyond:?} beside the label", snippet.file));
        }
    }
    assert!(faults >= 60 && harmless >= 40, "{faults} {harmless}");
    let recall = f64::from(seen) / f64::from(u32::try_from(faults).unwrap());
    let false_alarms = f64::from(alarms) / f64::from(u32::try_from(harmless).unwrap());
    let tell = wrong.join("\n");
    assert!(recall >= 0.95, "recall {recall:.3}\n{tell}");
    assert!(false_alarms <= 0.05, "false alarms {false_alarms:.3}\n{tell}");
    println!("recall {recall:.3}, false alarms {false_alarms:.3}\n{tell}");
}

/// Programs that somebody wrote who had not read the rules: what they say of programs that nobody
/// fitted them to.
#[test]
#[expect(clippy::disallowed_methods, reason = "reads the programs")]
fn programs_that_were_held_out_are_judged_as_labelled() {
    #[derive(Deserialize)]
    struct HeldOut {
        program: Vec<Program>,
    }
    #[derive(Deserialize)]
    struct Program {
        text: String,
        expect: String,
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/factory/held_out.toml");
    let programs: HeldOut = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (mut faulty, mut seen, mut harmless, mut alarms) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for Program { text, expect } in programs.program {
        let found = python(&text);
        if expect.is_empty() {
            harmless += 1;
            alarms += u32::from(!found.is_empty());
        } else {
            faulty += 1;
            seen += u32::from(found.contains(&expect));
        }
        if expect.is_empty() != found.is_empty() || !(expect.is_empty() || found.contains(&expect))
        {
            wrong.push(format!("`{expect}` expected, {found:?} found in\n{text}"));
        }
    }
    let tell = wrong.join("\n");
    println!("{seen} of {faulty} seen, {alarms} of {harmless} false alarms\n{tell}");
    assert!(faulty >= 30 && harmless >= 20, "{faulty} {harmless}");
    assert!(f64::from(seen) >= 0.95 * f64::from(faulty), "{seen} of {faulty}\n{tell}");
    assert!(f64::from(alarms) <= 0.05 * f64::from(harmless), "{alarms} of {harmless}\n{tell}");
}

/// Programs that were written after the rules, in other words than the labelled ones.
#[test]
fn other_ways_to_write_the_same_are_found() {
    let mut missed = Vec::new();
    for (text, expected) in [
        (
            "import subprocess\ndef run(args):\n    kw = dict(shell=True)\n    subprocess.call(args['c'], **kw)\n",
            "process-shell:high",
        ),
        ("import os as operating\nclass T:\n    go = operating.popen\n", "process-shell:high"),
        (
            "def run(args):\n    from os import system\n    return [system(c) for c in args['all']]\n",
            "process-shell:high",
        ),
        ("import os\nf = getattr(os, 'sys' + 'tem')\nf('id')\n", "process-shell:high"),
        (
            "import os\ndef run(args):\n    return list(map(os.system, args['lines']))\n",
            "process-shell:high",
        ),
        ("run = lambda args: eval(args['x'])\n", "code-execution:high"),
        ("def run(args):\n    return globals()[args['f']](1)\n", "code-execution:high"),
        ("def run(args):\n    return f\"{eval(args['x'])}\"\n", "code-execution:high"),
        (
            "try:\n    import cPickle as pickle\nexcept ImportError:\n    import pickle\ndef run(args):\n    return pickle.loads(args['b'])\n",
            "unsafe-deserialization:high",
        ),
        (
            "from yaml import load, Loader\ndef run(args):\n    return load(args['t'], Loader=Loader)\n",
            "unsafe-deserialization:high",
        ),
        (
            "def run(args, db):\n    q = '''\n    SELECT a\n    FROM t WHERE b = '%(b)s' ''' % args\n    return db.cursor().execute(q)\n",
            "sql-injection:high",
        ),
        (
            "def run(args, db):\n    parts = ['SELECT * FROM t']\n    if args.get('o'):\n        parts.append('ORDER BY ' + args['o'])\n    return db.execute(' '.join(parts))\n",
            "sql-injection:high",
        ),
        (
            "def where(args):\n    return 'a = ' + repr(args['a'])\ndef run(args, db):\n    return db.execute('SELECT 1 FROM t WHERE ' + where(args))\n",
            "sql-injection:high",
        ),
        (
            "async def run(args, ctx):\n    table = args.get('table', 'orders')\n    return await ctx.pool.fetch(f'select * from {table}')\n",
            "sql-injection:high",
        ),
        ("def run(args, db):\n    return db.execute(args['sql'])\n", "sql-injection:high"),
        (
            "def run(args, db):\n    for (name,) in db.execute('SELECT name FROM sqlite_master'):\n        db.execute(f'DROP TABLE {name}')\n",
            "sql-injection:medium",
        ),
        (
            "from pathlib import Path\ndef run(args):\n    return Path('/srv').joinpath(args['p']).read_bytes()\n",
            "path-traversal:medium",
        ),
        (
            "import os\ndef _load(name):\n    return open(os.path.join('d', name)).read()\ndef run(args):\n    return _load(args['n'])\n",
            "path-traversal:medium",
        ),
        (
            "import requests\ndef run(args):\n    s = requests.Session()\n    s.verify = False\n    return s.get('https://a.example/', timeout=3).text\n",
            "tls-verification-off:high",
        ),
        (
            "import httpx\ndef run(args):\n    return httpx.get('https://' + args['host'] + '/x', timeout=3).text\n",
            "request-to-argument:medium",
        ),
        (
            "import httpx\ndef run(args):\n    url = 'https://api.example.com'\n    if args['staging']:\n        url = args['url']\n    return httpx.get(url + '/v1', timeout=3).text\n",
            "request-to-argument:medium",
        ),
        ("import os\ntoken = os.environ['X_TOKEN']\nprint('using', token)\n", "secret-logged:high"),
        ("from loguru import x\n", "unlisted-dependency:high"),
        ("def connect(password='k9!vQz72Lm'):\n    return password\n", "hard-coded-secret:high"),
        ("client_secret: str = 'k9vQz72LmR4tXw'\n", "hard-coded-secret:high"),
        (
            "def f(x):\n    return x.__class__.__mro__[1].__subclasses__()\n",
            "interpreter-internals:high",
        ),
        (
            "import random\nclass A:\n    def new(self):\n        self.session_token = str(random.random())\n",
            "weak-random:medium",
        ),
        ("import xml.dom.minidom as m\nm.parse(open('a.xml'))\n", "xml-entities:medium"),
        ("match 1:\n    case 1 if eval('1'):\n        pass\n", "code-execution:high"),
        ("with open('x') as f, eval('y') as g:\n    pass\n", "code-execution:high"),
        ("@eval('d')\ndef f(): pass\n", "code-execution:high"),
        ("class A(eval('B')): pass\n", "code-execution:high"),
        ("x: int = eval('1')\n", "code-execution:high"),
        ("def f(*, a=eval('1')): pass\n", "code-execution:high"),
        ("assert eval('1')\nraise eval('2')\n", "code-execution:high"),
        ("del eval('x').y\n", "code-execution:high"),
        (
            "async def f():\n    async for x in eval('y'):\n        await eval('z')\n",
            "code-execution:high",
        ),
        ("(y := eval('1'))\n", "code-execution:high"),
        ("x = {**eval('{}')}\ny = [*eval('[]')]\n", "code-execution:high"),
        ("def g():\n    yield eval('1')\n", "code-execution:high"),
        ("x = 1 if eval('1') else 2\n", "code-execution:high"),
        ("x[eval('1'):2]\n", "code-execution:high"),
        ("try:\n    pass\nexcept eval('E'):\n    pass\n", "code-execution:high"),
        ("x = not eval('1')\n", "code-execution:high"),
    ] {
        let found = python(text);
        if !found.contains(&expected.to_owned()) {
            missed.push(format!("{expected} is not in {found:?}:\n{text}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn other_harmless_programs_are_left_alone() {
    for text in [
        "import sqlite3\ndef run(args):\n    sets = ', '.join(f'{k} = ?' for k in ('a', 'b') if k in args)\n    db = sqlite3.connect('x.db')\n    db.execute(f'UPDATE t SET {sets} WHERE id = ?', [args[k] for k in ('a', 'b') if k in args] + [args['id']])\n",
        "def run(args, db):\n    conditions, values = ['1 = 1'], []\n    if args.get('name'):\n        conditions.append('name = ?')\n        values.append(args['name'])\n    return db.execute('SELECT * FROM t WHERE ' + ' AND '.join(conditions), values)\n",
        "COLUMNS = ['a', 'b']\ndef run(args, db):\n    marks = ', '.join(['%s'] * len(COLUMNS))\n    db.execute(f\"INSERT INTO t ({', '.join(COLUMNS)}) VALUES ({marks})\", [args[c] for c in COLUMNS])\n",
        "def run(args, db):\n    direction = 'DESC' if args.get('down') else 'ASC'\n    return db.execute(f'SELECT * FROM t ORDER BY a {direction}')\n",
        "def run(limit: int, db):\n    return db.execute(f'SELECT * FROM t LIMIT {limit}')\n",
        "def run(args, db):\n    return db.execute('SELECT * FROM t LIMIT %d' % args['n'])\n",
        "from pathlib import Path\nROOT = Path('/srv')\ndef run(args):\n    p = (ROOT / Path(args['p']).name)\n    return p.read_text()\n",
        "import httpx\nURLS = {'a': 'https://a.example/', 'b': 'https://b.example/'}\nasync def run(args, ctx):\n    async with httpx.AsyncClient(timeout=5) as c:\n        return (await c.get(URLS[args['which']])).text\n",
        "import httpx\nasync def run(args, ctx):\n    async with httpx.AsyncClient(base_url='https://a.example', timeout=5) as c:\n        return (await c.get(f\"/users/{args['u']}\")).text\n",
        "import random\ndef run(args):\n    password_length = random.randint(8, 12)\n    return password_length\n",
        "import hashlib\ndef run(args):\n    return hashlib.sha256(args['password'].encode()).hexdigest()\n",
        "def run(args):\n    token_type = 'bearer'\n    password_field = 'user_password'\n    return token_type + password_field\n",
        "headers = {'Authorization': f'Bearer {input}', 'X-Token-Name': 'session'}\n",
        "import logging\nlogging.getLogger(__name__).info('password reset for %s', 'somebody')\n",
        "class Session:\n    def execute(self, plan): return plan\n    def get(self, url): return url\ns = Session()\ndef run(args):\n    return s.get(args['url']), s.execute(f\"SELECT {args['x']}\")\n",
        "compile_ = 1\ndef evaluate(x): return x\nevaluate(2)\nexecutor = None\n",
        "import tempfile, os\nwith tempfile.TemporaryDirectory() as d:\n    open(os.path.join(d, 'x'), 'w').close()\n",
        "import jinja2\nenv = jinja2.Environment(autoescape=True)\ndef run(args):\n    return env.from_string('{{ a }}').render(a=args['a'])\n",
        "import os\nVALUE = os.environ.get('SERVICE_TOKEN', 'changeme')\n",
        "URL = 'postgresql://user:password@localhost/db'\nOTHER = 'https://example.com/?token=x'\n",
        "import re\nre.compile('a').match('b')\nimport builtins\nprint(builtins.len([1]))\n",
    ] {
        assert_eq!(python(text), [""; 0], "{text}");
    }
}

#[test]
fn what_a_tool_declared_is_all_that_it_may_use() {
    let declared = Declared {
        environment: Some(vec!["A_KEY".to_owned()]),
        hosts: Some(vec!["*.example.com".to_owned()]),
        packages: Some(vec!["httpx>=0.28".to_owned(), "PyYAML".to_owned()]),
        files: FileUse::Read,
    };
    let found = |text: &str| found("tool.py", text, &declared);
    assert_eq!(
        found(
            "import httpx, yaml, os, mcp\nos.environ['A_KEY']\nhttpx.get('https://api.example.com/x', timeout=1)\nopen('a').read()\n"
        ),
        [""; 0]
    );
    assert_eq!(
        found("import httpx\nhttpx.get('https://example.org/', timeout=1)\n"),
        ["undeclared-network:high"]
    );
    assert_eq!(
        found("import httpx\nhttpx.get('https://badexample.com/', timeout=1)\n"),
        ["undeclared-network:high"]
    );
    assert_eq!(
        found("import httpx\nhttpx.get('https://api.example.com@evil.example.org/', timeout=1)\n"),
        ["undeclared-network:high"]
    );
    assert_eq!(found("import numpy\n"), ["undeclared-dependency:medium"]);
    assert_eq!(found("import os\nos.getenv('B_KEY')\n"), ["undeclared-environment:medium"]);
    assert_eq!(found("open('a', mode='w')\n"), ["undeclared-file:medium"]);
}

#[test]
fn modules_of_the_package_are_no_dependencies() {
    let files = [
        SourceFile { path: "server.py", text: "from runtime import http\nimport helpers\n" },
        SourceFile { path: "runtime/http.py", text: "from . import errors\n" },
        SourceFile { path: "helpers.py", text: "" },
    ];
    let report = scan(&files, &Declared::default(), &Rules::builtin());
    assert_eq!(report.findings, []);
    assert_eq!(report.files, 3);
    let names = |all: &[&str]| {
        check_packages("pyproject.toml", &all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>())
            .len()
    };
    assert_eq!(
        names(&["mcp>=2.3,<3", "psycopg[binary]>=3.2", "Python_DateUtil", "ruamel.yaml"]),
        0
    );
    assert_eq!(names(&["mcp", "reqeusts", "weather-client ; python_version > '3'"]), 2);
}

#[test]
fn what_does_not_parse_says_where() {
    let finding = parse_check("tools/a.py", "x = 1\nfor ä y in z:\n").unwrap_err();
    assert_eq!((finding.line, finding.column, finding.severity), (2, 7, Severity::High));
    assert_eq!((finding.rule.as_str(), finding.path.as_str()), ("syntax", "tools/a.py"));
    // Python 3.12 may, 3.11 may not.
    assert!(parse_check("a.py", "type X = int\n").unwrap_err().message.contains("3.1"));
    assert!(parse_check("a.py", "def f[T](x: T): ...\n").is_err());
    assert!(parse_check("a.py", "match 1:\n    case _: pass\n").is_ok());
    assert!(parse_check("a.py", "x = '\0'").unwrap_err().message.contains("NUL"));
    assert_eq!(found("a.py", "Here is your code.", &Declared::default()), ["syntax:high"]);
}

/// None of these may end the process, whatever they are judged.
#[test]
fn programs_that_nest_deeply_are_refused() {
    let n = FILE_BYTES;
    let half = n / 2;
    for program in [
        format!("{}1", "-".repeat(n - 1)),
        format!("{}1{}", "(".repeat(half - 1), ")".repeat(half)),
        format!("1{}", "+1".repeat(half - 1)),
        format!("x{}", ".a".repeat(half - 1)),
        format!("x{}", "()".repeat(half - 1)),
        format!("{}1", "lambda:".repeat(n / 7 - 1)),
        format!("{}1", "x = ".repeat(n / 4 - 2)),
    ] {
        let found = found("a.py", &program, &Declared::default());
        assert!(
            found.iter().all(|one| matches!(one.as_str(), "unreadable:high" | "syntax:high")),
            "{found:?}"
        );
    }
    assert_eq!(found("a.py", &"x = 1\n".repeat(n), &Declared::default()), ["unreadable:high"]);
    // Far beyond what anybody writes, and still read.
    assert_eq!(python(&format!("x = {}1{}\n", "(".repeat(200), ")".repeat(200))), [""; 0]);
    assert_eq!(python(&format!("x = 1{}\n", " + 1".repeat(250))), [""; 0]);
    // Loops in loops do not multiply the work.
    let mut loops = String::new();
    for depth in 0..40 {
        loops += " ".repeat(depth).as_str();
        loops += &["for i", &depth.to_string(), " in x:\n"].concat();
    }
    loops += " ".repeat(40).as_str();
    loops += "eval('1')\n";
    assert_eq!(python(&loops), ["code-execution:high"]);
}

fn rule(name: &str, pattern: Option<&str>, call: Option<&str>) -> CustomRule {
    CustomRule {
        name: name.to_owned(),
        pattern: pattern.map(str::to_owned),
        call: call.map(str::to_owned),
        severity: Severity::Medium,
        message: "not here".to_owned(),
    }
}

#[test]
fn rules_of_the_user_are_patterns_or_calls() {
    let rules = Rules::with_custom(vec![
        rule("no-todo", Some(r"TODO(?!\()"), None),
        rule("no-sleep", None, Some("time.sleep")),
        rule("no-print", None, Some("print")),
    ])
    .unwrap();
    let text = "from time import sleep as wait\n# TODO: x\n# TODO(me): y\nwait(1)\nprint('time.sleep(1)')\n";
    let report = scan(&[SourceFile { path: "a.py", text }], &Declared::default(), &rules);
    let found: Vec<_> =
        report.findings.iter().map(|one| (one.rule.as_str(), one.line, one.column)).collect();
    assert_eq!(found, [("no-todo", 2, 3), ("no-sleep", 4, 1), ("no-print", 5, 1)]);
    let markdown =
        scan(&[SourceFile { path: "README.md", text: "TODO" }], &Declared::default(), &rules);
    assert_eq!(markdown.findings.len(), 1);
}

#[test]
fn rules_that_cannot_be_used_are_errors() {
    for (wrong, why) in [
        (rule("a", Some("("), None), "no regular expression"),
        (rule("b", None, None), "either `pattern` or `call`"),
        (rule("c", Some("x"), Some("y")), "either `pattern` or `call`"),
        (rule("d", None, Some("a..b")), "dotted name"),
        (rule("", Some("x"), None), "name is empty"),
        (rule("e", Some("x*"), None), "every line"),
    ] {
        let error = Rules::with_custom(vec![wrong]).unwrap_err();
        assert!(error.message.contains(why), "{}", error.message);
    }
    let parsed: CustomRule = serde_json::from_str(
        r#"{"name": "n", "pattern": "p", "severity": "HIGH", "message": "m"}"#,
    )
    .unwrap();
    assert_eq!(parsed.severity, Severity::High);
    let wrong = serde_json::from_str::<CustomRule>(
        r#"{"name": "n", "pattern": "p", "severity": "urgent", "message": "m"}"#,
    );
    assert!(wrong.unwrap_err().to_string().contains("low, medium and high"));
}

#[test]
fn containers_run_as_somebody_else() {
    let good = "FROM python:3.12-slim AS build\nRUN pip install .\nFROM python:3.12-slim\nCOPY --from=build /x /x\nENV TOKEN_FILE=/run/token\nUSER 10001:10001\nCMD [\"python\"]\n";
    let found = |text: &str| found("Dockerfile", text, &Declared::default());
    assert_eq!(found(good), [""; 0]);
    assert_eq!(found(&good.replace("USER 10001:10001\n", "")), ["dockerfile-root:high"]);
    assert_eq!(found(&good.replace("10001:10001", "root")), ["dockerfile-root:high"]);
    assert_eq!(found(&format!("{good}USER 0\n")), ["dockerfile-root:high"]);
    assert_eq!(
        found(&format!("FROM a:1\nUSER x\n{}", good.replace("USER 10001:10001\n", ""))),
        ["dockerfile-root:high"]
    );
    assert_eq!(
        found(&good.replace("python:3.12-slim\nCOPY", "python\nCOPY")),
        ["dockerfile-unpinned:low"]
    );
    assert_eq!(
        found(&good.replace("TOKEN_FILE=/run/token", "API_TOKEN=abc")),
        ["dockerfile-secret:high"]
    );
    assert_eq!(
        found(
            &good.replace("pip install .", "apt-get update && \\\n    curl https://x.example | sh")
        ),
        ["dockerfile-remote-script:high"]
    );
}

#[test]
fn workflows_get_no_more_than_they_need() {
    let good = "name: ci\non: [push, pull_request]\npermissions:\n  contents: read\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - run: |\n          echo \"${{ github.sha }}\"\n          permissions: none\n";
    let found = |text: &str| found(".github/workflows/ci.yml", text, &Declared::default());
    assert_eq!(found(good), [""; 0]);
    assert_eq!(
        found(&good.replace("permissions:\n  contents: read\n", "")),
        ["workflow-permissions:medium"]
    );
    assert_eq!(
        found(&good.replace("permissions:\n  contents: read", "permissions: write-all")),
        ["workflow-permissions:high"]
    );
    assert_eq!(
        found(&good.replace("github.sha", "github.event.issue.title")),
        ["workflow-injection:high"]
    );
    assert_eq!(
        found(&good.replace("[push, pull_request]", "pull_request_target")),
        ["workflow-trigger:high"]
    );
    assert_eq!(found(&good.replace("checkout@v4", "checkout@main")), ["workflow-unpinned:low"]);
    let per_job = good
        .replace("permissions:\n  contents: read\n", "")
        .replace("    runs-on", "    permissions:\n      contents: read\n    runs-on");
    assert_eq!(found(&per_job), [""; 0]);
}

#[test]
fn reports_are_for_people_and_programs() {
    let text = "import os\nos.system('x')\n";
    let report = scan(
        &[SourceFile { path: "tools/a | b.py", text }],
        &Declared::default(),
        &Rules::builtin(),
    );
    assert_eq!(report.blocked(Severity::High).len(), 1);
    assert_eq!(report.blocked(Severity::Low).len(), 1);
    let markdown = report.to_markdown();
    assert!(
        markdown.contains("1 high, 0 medium, 0 low") && markdown.contains(r"tools/a \| b.py:2:1"),
        "{markdown}"
    );
    let json = report.to_json();
    assert_eq!(json["summary"]["high"], 1);
    assert_eq!(json["findings"][0]["rule"], "process-shell");
    let sarif = report.to_sarif();
    let run = &sarif["runs"][0];
    assert_eq!(
        (sarif["version"].as_str(), run["results"][0]["level"].as_str()),
        (Some("2.1.0"), Some("error"))
    );
    assert_eq!(run["tool"]["driver"]["rules"][0]["id"], run["results"][0]["ruleId"]);
    let place = &run["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "tools/a%20|%20b.py");
    assert_eq!(place["region"]["startLine"], 2);
    assert!(Report::default().to_markdown().contains("Nothing was found"));
}
