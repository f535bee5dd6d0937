//! One program: its scopes, what its functions are given and give back, and what was found.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ModModule, Stmt, StmtFunctionDef};
use ruff_text_size::Ranged;

use super::names;
use super::value::{Origin, Value};
use super::{Declared, Finding, Rules, Severity, SourceFile, place};

/// How often functions are read until what they pass to each other is known.
const MOST_ROUNDS: usize = 5;

/// What is known of names, at one point of a scope.
pub(super) type Scope = BTreeMap<String, Value>;

/// What a function is given and gives back, of all its calls.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Exchange {
    /// By position and by name.
    pub(super) given: BTreeMap<String, Value>,
    /// What it returns.
    pub(super) returned: Option<Value>,
}

/// Whether what is found is kept: not until everything is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    Learning,
    Last,
}

/// A program under the eye.
pub(super) struct Scan<'run, 'tree> {
    file: &'run SourceFile<'run>,
    pub(super) declared: &'run Declared,
    pub(super) rules: &'run Rules,
    pub(super) local: &'run BTreeSet<String>,
    round: Round,
    findings: Vec<Finding>,
    /// The scope that is read.
    pub(super) scope: Scope,
    /// Modules all of whose names were imported.
    pub(super) stars: Vec<String>,
    /// Functions still to be read, each with the scope around it.
    pub(super) pending: Vec<(&'tree StmtFunctionDef, Scope)>,
    /// Functions by name.
    pub(super) exchanges: BTreeMap<String, Exchange>,
    /// Names of functions that the program calls itself.
    called: BTreeSet<String>,
    /// What is being made: names of the function and of what is assigned to.
    pub(super) making: Vec<String>,
    /// What the function returns so far.
    pub(super) returned: Option<Value>,
    /// How many loops stand around.
    pub(super) loops: usize,
}

impl<'run, 'tree> Scan<'run, 'tree> {
    pub(super) fn new(
        file: &'run SourceFile<'run>,
        declared: &'run Declared,
        rules: &'run Rules,
        local: &'run BTreeSet<String>,
    ) -> Self {
        Self {
            file,
            declared,
            rules,
            local,
            round: Round::Learning,
            findings: Vec::new(),
            scope: Scope::new(),
            stars: Vec::new(),
            pending: Vec::new(),
            exchanges: BTreeMap::new(),
            called: BTreeSet::new(),
            making: Vec::new(),
            returned: None,
            loops: 0,
        }
    }

    pub(super) fn run(mut self, module: &'tree ModModule) -> Vec<Finding> {
        let (defined, called) = functions(module);
        self.called = called.intersection(&defined).cloned().collect();
        self.exchanges = defined.into_iter().map(|name| (name, Exchange::default())).collect();
        for _ in 1..MOST_ROUNDS {
            let before = self.exchanges.clone();
            self.read(module);
            if self.exchanges == before {
                break;
            }
        }
        self.round = Round::Last;
        self.read(module);
        self.findings
    }

    fn read(&mut self, module: &'tree ModModule) {
        self.scope = Scope::new();
        self.stars.clear();
        self.statements(&module.body);
        // Functions run when the whole module is there.
        let whole = self.scope.clone();
        let mut next = std::mem::take(&mut self.pending);
        while let Some((function, around)) = next.pop() {
            self.scope = whole.clone();
            self.scope.extend(around);
            self.function(function);
            next.append(&mut self.pending);
        }
    }

    fn function(&mut self, function: &'tree StmtFunctionDef) {
        let name = function.name.as_str();
        let entry = !self.called.contains(name) || !function.decorator_list.is_empty();
        let known = self.exchanges.get(name).cloned().unwrap_or_default();
        let positional = function.parameters.posonlyargs.iter().chain(&function.parameters.args);
        // Whether it is bound cannot be seen where it is called; `self` stands in no call.
        let own = |name: &str| matches!(name, "self" | "cls");
        let mut place = 0_usize;
        for parameter in positional.chain(&function.parameters.kwonlyargs) {
            let called = parameter.parameter.name.as_str();
            if own(called) {
                self.scope.insert(called.to_owned(), Value::of(Origin::Unknown));
                continue;
            }
            let mut value = if entry {
                entry_value(called, parameter.parameter.annotation.as_deref())
            } else {
                let given = [known.given.get(&place.to_string()), known.given.get(called)];
                let mut value: Option<Value> = None;
                for one in given.into_iter().flatten() {
                    value = Some(value.map_or_else(|| one.clone(), |all| all.or(one)));
                }
                value.unwrap_or_else(|| Value::of(Origin::Constant))
            };
            if names::is_secret(called) {
                value.secret = Some(called.into());
            }
            self.forget(called);
            self.scope.insert(called.to_owned(), value);
            place += 1;
        }
        let rest = [&function.parameters.vararg, &function.parameters.kwarg];
        for parameter in rest.into_iter().flatten() {
            let origin = if entry { Origin::Argument } else { known.rest() };
            self.scope.insert(parameter.name.to_string(), Value::of(origin));
        }
        self.making.push(name.to_owned());
        self.statements(&function.body);
        self.making.pop();
        if let Some(returned) = self.returned.take()
            && let Some(exchange) = self.exchanges.get_mut(name)
        {
            exchange.returned = Some(
                exchange
                    .returned
                    .as_ref()
                    .map_or_else(|| returned.clone(), |all| all.or(&returned)),
            );
        }
    }

    /// Forgets what was known of a name and of all below it.
    pub(super) fn forget(&mut self, name: &str) {
        self.scope.retain(|place, _| {
            place
                .strip_prefix(name)
                .is_none_or(|rest| !rest.is_empty() && !rest.starts_with(['.', '[']))
        });
    }

    /// Notes what a function of the program is given.
    pub(super) fn give(&mut self, name: &str, key: String, value: &Value) {
        if let Some(exchange) = self.exchanges.get_mut(name) {
            // A path is not passed on: what a parameter is called with may differ.
            match exchange.given.get_mut(&key) {
                Some(all) => *all = all.or(value),
                None => {
                    exchange.given.insert(key, value.clone());
                }
            }
        }
    }

    pub(super) fn find(
        &mut self,
        node: &impl Ranged,
        rule: &str,
        severity: Severity,
        message: String,
    ) {
        if self.round == Round::Learning {
            return;
        }
        let (line, column) = place(self.file.text, node.range().start());
        let finding = Finding {
            rule: rule.to_owned(),
            severity,
            path: self.file.path.to_owned(),
            line,
            column,
            message,
        };
        let same = |found: &Finding| {
            found.rule == finding.rule && found.line == line && found.column == column
        };
        if !self.findings.iter().any(same) {
            self.findings.push(finding);
        }
    }
}

impl Exchange {
    fn rest(&self) -> Origin {
        self.given.values().map(Value::origin).max().unwrap_or_default()
    }
}

/// What is known of a parameter that somebody outside fills.
fn entry_value(name: &str, annotation: Option<&Expr>) -> Value {
    if let Some(Expr::Name(annotation)) = annotation
        && matches!(annotation.id.as_str(), "int" | "float" | "bool")
    {
        return Value::of(Origin::Harmless);
    }
    let given_by_the_server = matches!(
        name,
        "ctx"
            | "context"
            | "session"
            | "client"
            | "app"
            | "logger"
            | "db"
            | "database"
            | "connection"
            | "conn"
            | "cursor"
            | "pool"
            | "engine"
    );
    Value::of(if given_by_the_server { Origin::Unknown } else { Origin::Argument })
}

/// The names of functions that a program defines, and of those that it calls.
fn functions(module: &ModModule) -> (BTreeSet<String>, BTreeSet<String>) {
    #[derive(Default)]
    struct Functions {
        defined: BTreeSet<String>,
        called: BTreeSet<String>,
    }
    impl<'tree> Visitor<'tree> for Functions {
        fn visit_stmt(&mut self, statement: &'tree Stmt) {
            if let Stmt::FunctionDef(function) = statement {
                self.defined.insert(function.name.to_string());
            }
            walk_stmt(self, statement);
        }
        fn visit_expr(&mut self, expression: &'tree Expr) {
            if let Expr::Call(call) = expression {
                match call.func.as_ref() {
                    Expr::Name(name) => {
                        self.called.insert(name.id.to_string());
                    }
                    Expr::Attribute(attribute) => {
                        self.called.insert(attribute.attr.to_string());
                    }
                    _ => {}
                }
            }
            walk_expr(self, expression);
        }
    }
    let mut functions = Functions::default();
    functions.visit_body(&module.body);
    (functions.defined, functions.called)
}
