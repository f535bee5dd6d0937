//! Statements: assignments, branches, loops, and what a check proves for what follows it.

use std::rc::Rc;

use ruff_python_ast::{
    BoolOp, CmpOp, ExceptHandler, Expr, Operator, Stmt, StmtFunctionDef, StmtIf, StmtImport,
    StmtImportFrom, UnaryOp,
};

use super::names;
use super::program::{Scan, Scope};
use super::tables;
use super::value::{Literal, Origin, Value};
use super::{Severity, packages};

/// How many loops inside each other are read twice.
const TWICE: usize = 3;

impl<'tree> Scan<'_, 'tree> {
    pub(super) fn statements(&mut self, body: &'tree [Stmt]) {
        for statement in body {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &'tree Stmt) {
        match statement {
            Stmt::Import(import) => self.import(import),
            Stmt::ImportFrom(import) => self.import_from(import),
            Stmt::FunctionDef(function) => self.define(function),
            Stmt::ClassDef(class) => {
                for decorator in &class.decorator_list {
                    self.value(&decorator.expression);
                }
                if let Some(arguments) = &class.arguments {
                    for argument in &arguments.args {
                        self.value(argument);
                    }
                    for keyword in &arguments.keywords {
                        self.value(&keyword.value);
                    }
                }
                let around = self.scope.clone();
                self.statements(&class.body);
                self.scope = around;
                self.scope.insert(class.name.to_string(), Value::named("local"));
            }
            Stmt::Assign(assign) => {
                let made = assign.targets.iter().filter_map(names::spoken).map(str::to_owned);
                let made: Vec<String> = made.collect();
                let count = made.len();
                self.making.extend(made);
                let value = self.value(&assign.value);
                for target in &assign.targets {
                    self.assign(target, &value, Some(&assign.value));
                }
                self.making.truncate(self.making.len().saturating_sub(count));
            }
            Stmt::AnnAssign(assign) => {
                if let Some(expression) = &assign.value {
                    self.making.extend(names::spoken(&assign.target).map(str::to_owned));
                    let value = self.value(expression);
                    self.assign(&assign.target, &value, Some(expression));
                    self.making.pop();
                }
            }
            Stmt::AugAssign(assign) => {
                let before = self.value(&assign.target);
                let added = self.value(&assign.value);
                let value = if assign.op == Operator::Add {
                    Value::concat(&[before, added])
                } else {
                    before.or(&added)
                };
                self.assign(&assign.target, &value, None);
            }
            Stmt::Return(value) => {
                if let Some(value) = &value.value {
                    let value = self.value(value);
                    self.returned = Some(
                        self.returned.as_ref().map_or_else(|| value.clone(), |all| all.or(&value)),
                    );
                }
            }
            // A docstring is no value.
            Stmt::Expr(expression) if expression.value.is_string_literal_expr() => {
                self.known_keys(&expression.value);
            }
            Stmt::Expr(expression) => {
                self.value(&expression.value);
            }
            Stmt::If(branch) => self.branch(branch),
            Stmt::For(each) => {
                let items = self.value(&each.iter);
                self.repeat(|scan| {
                    scan.bind(&each.target, &each.iter, &items);
                    scan.statements(&each.body);
                });
                self.statements(&each.orelse);
            }
            Stmt::While(each) => {
                self.repeat(|scan| {
                    scan.value(&each.test);
                    scan.statements(&each.body);
                });
                self.statements(&each.orelse);
            }
            Stmt::With(with) => {
                for item in &with.items {
                    let value = self.value(&item.context_expr);
                    if let Some(target) = &item.optional_vars {
                        self.assign(target, &value, None);
                    }
                }
                self.statements(&with.body);
            }
            Stmt::Try(attempt) => {
                let before = self.scope.clone();
                self.statements(&attempt.body);
                self.statements(&attempt.orelse);
                let mut after = self.scope.clone();
                for ExceptHandler::ExceptHandler(handler) in &attempt.handlers {
                    self.scope = join(before.clone(), &after);
                    if let Some(kind) = &handler.type_ {
                        self.value(kind);
                    }
                    if let Some(name) = &handler.name {
                        self.scope.insert(name.to_string(), Value::of(Origin::Unknown));
                    }
                    self.statements(&handler.body);
                    if !leaves(&handler.body) {
                        after = join(after, &self.scope);
                    }
                }
                self.scope = after;
                self.statements(&attempt.finalbody);
            }
            Stmt::Match(choice) => {
                let subject = self.value(&choice.subject);
                let before = self.scope.clone();
                let mut after = before.clone();
                for case in &choice.cases {
                    self.scope = before.clone();
                    for name in captured(&case.pattern) {
                        self.scope.insert(name, subject.derived());
                    }
                    if let Some(guard) = &case.guard {
                        self.value(guard);
                    }
                    self.statements(&case.body);
                    if !leaves(&case.body) {
                        after = join(after, &self.scope);
                    }
                }
                self.scope = after;
            }
            Stmt::Raise(raise) => {
                for value in [&raise.exc, &raise.cause].into_iter().flatten() {
                    self.value(value);
                }
            }
            Stmt::Assert(assert) => {
                self.value(&assert.test);
                if let Some(message) = &assert.msg {
                    self.value(message);
                }
                for place in proven(&assert.test, Proof::Holds) {
                    self.trust(&place);
                }
            }
            Stmt::Delete(delete) => {
                for target in &delete.targets {
                    self.value(target);
                }
            }
            Stmt::TypeAlias(_)
            | Stmt::Global(_)
            | Stmt::Nonlocal(_)
            | Stmt::Pass(_)
            | Stmt::Break(_)
            | Stmt::Continue(_)
            | Stmt::IpyEscapeCommand(_) => {}
        }
    }

    fn import(&mut self, import: &StmtImport) {
        for alias in &import.names {
            let module = alias.name.as_str();
            self.imported(alias, module);
            let (name, path) = if let Some(name) = &alias.asname {
                (name.as_str(), module)
            } else {
                let root = module.split('.').next().unwrap_or(module);
                (root, root)
            };
            self.scope.insert(name.to_owned(), Value::named(path));
        }
    }

    fn import_from(&mut self, import: &StmtImportFrom) {
        if import.level > 0 {
            for alias in &import.names {
                let name = alias.asname.as_ref().unwrap_or(&alias.name);
                self.scope.insert(name.to_string(), Value::named("local"));
            }
            return;
        }
        let module = import.module.as_ref().map(ToString::to_string).unwrap_or_default();
        self.imported(import, &module);
        for alias in &import.names {
            if alias.name.as_str() == "*" {
                self.stars.push(module.clone());
                continue;
            }
            let path = format!("{module}.{}", alias.name.as_str());
            let name = alias.asname.as_ref().unwrap_or(&alias.name);
            self.scope.insert(name.to_string(), Value::named(&path));
        }
    }

    fn imported(&mut self, node: &impl ruff_text_size::Ranged, module: &str) {
        if let Some(message) = tables::native(module) {
            self.find(node, "native-code", Severity::High, message.to_owned());
        }
        let root = module.split('.').next().unwrap_or(module);
        if let Some((rule, severity, message)) =
            packages::objection(root, self.local, self.declared.packages.as_deref())
        {
            self.find(node, rule, severity, message);
        }
    }

    fn define(&mut self, function: &'tree StmtFunctionDef) {
        for decorator in &function.decorator_list {
            self.value(&decorator.expression);
        }
        let parameters = &function.parameters;
        for parameter in
            parameters.posonlyargs.iter().chain(&parameters.args).chain(&parameters.kwonlyargs)
        {
            if let Some(default) = &parameter.default {
                let value = self.value(default);
                self.keep_out_of_code(default, parameter.parameter.name.as_str(), &value);
            }
        }
        self.scope.insert(function.name.to_string(), Value::named("local"));
        self.pending.push((function, self.scope.clone()));
    }

    /// Gives a value to a target.
    pub(super) fn assign(&mut self, target: &'tree Expr, value: &Value, from: Option<&'tree Expr>) {
        match target {
            Expr::Tuple(tuple) => self.assign_each(&tuple.elts, value, from),
            Expr::List(list) => self.assign_each(&list.elts, value, from),
            Expr::Starred(starred) => self.assign(&starred.value, &value.derived(), None),
            _ => {
                if let Some(name) = names::spoken(target) {
                    if let Some(from) = from {
                        self.keep_out_of_code(from, name, value);
                    }
                    self.switched_off(target, name, value);
                }
                if let Expr::Subscript(subscript) = target {
                    self.value(&subscript.slice);
                    // What is put into a dictionary is in it.
                    if let Some(place) = names::place(&subscript.value)
                        && let Some(whole) = self.scope.get(&place)
                    {
                        let whole = whole.or(&value.derived());
                        self.scope.insert(place, whole);
                    }
                }
                if let Some(place) = names::place(target) {
                    let mut value = value.clone();
                    if value.secret.is_none()
                        && value.constant().is_none()
                        && let Some(name) = names::spoken(target)
                        && names::is_secret(name)
                        && matches!(value.literal, Literal::Other)
                        && value.origin() > Origin::Constant
                    {
                        value.secret = Some(name.into());
                    }
                    self.forget(&place);
                    self.scope.insert(place, value);
                }
            }
        }
    }

    fn assign_each(&mut self, targets: &'tree [Expr], value: &Value, from: Option<&'tree Expr>) {
        let expressions: Option<&'tree [Expr]> = match from {
            Some(Expr::Tuple(tuple)) => Some(&tuple.elts),
            Some(Expr::List(list)) => Some(&list.elts),
            _ => None,
        };
        for (place, target) in targets.iter().enumerate() {
            let item = value.entry(&place.to_string()).cloned().unwrap_or_else(|| value.item());
            self.assign(target, &item, expressions.and_then(|all| all.get(place)));
        }
    }

    /// Gives what a loop yields to its target.
    pub(super) fn bind(&mut self, target: &'tree Expr, over: &Expr, items: &Value) {
        // `for key, value in x.items()`: keys may be known where values are not.
        if let (Expr::Tuple(pair), Expr::Call(call)) = (target, over)
            && let Expr::Attribute(attribute) = call.func.as_ref()
            && attribute.attr.as_str() == "items"
            && let [key, value] = pair.elts.as_slice()
        {
            let whole = self.quiet_value(&attribute.value);
            self.assign(key, &whole.keys.map_or_else(|| whole.derived(), Value::of), None);
            let mut inner = whole.clone();
            inner.keys = None;
            self.assign(value, &inner.item(), None);
            return;
        }
        self.assign(target, &items.item(), None);
    }

    fn repeat(&mut self, mut body: impl FnMut(&mut Self)) {
        let before = self.scope.clone();
        self.loops += 1;
        for _ in 0..if self.loops > TWICE { 1 } else { 2 } {
            body(self);
            self.scope = join(before.clone(), &self.scope);
        }
        self.loops -= 1;
    }

    fn branch(&mut self, branch: &'tree StmtIf) {
        let mut after: Option<Scope> = None;
        let mut keep = |scope: &Scope, body: &[Stmt]| {
            if !leaves(body) {
                after = Some(after.take().map_or_else(|| scope.clone(), |all| join(all, scope)));
            }
        };
        self.value(&branch.test);
        let before = self.scope.clone();
        for place in proven(&branch.test, Proof::Holds) {
            self.trust(&place);
        }
        self.statements(&branch.body);
        keep(&self.scope, &branch.body);
        self.scope = before;
        for place in proven(&branch.test, Proof::Fails) {
            self.trust(&place);
        }
        let mut complete = false;
        for clause in &branch.elif_else_clauses {
            let before = if let Some(test) = &clause.test {
                self.value(test);
                let before = self.scope.clone();
                for place in proven(test, Proof::Holds) {
                    self.trust(&place);
                }
                before
            } else {
                complete = true;
                self.scope.clone()
            };
            self.statements(&clause.body);
            keep(&self.scope, &clause.body);
            self.scope = before;
            if let Some(test) = &clause.test {
                for place in proven(test, Proof::Fails) {
                    self.trust(&place);
                }
            }
        }
        if !complete {
            keep(&self.scope, &[]);
        }
        if let Some(after) = after {
            self.scope = after;
        }
    }

    /// Trusts what a test that holds has checked.
    pub(super) fn trust_test(&mut self, test: &Expr) {
        for place in proven(test, Proof::Holds) {
            self.trust(&place);
        }
    }

    fn trust(&mut self, place: &str) {
        let known = match self.scope.get(place) {
            Some(value) => value.checked(),
            None => Value::of(Origin::Harmless),
        };
        self.scope.insert(place.to_owned(), known);
    }

    fn switched_off(&mut self, target: &Expr, name: &str, value: &Value) {
        if matches!(target, Expr::Attribute(_))
            && (matches!(name, "check_hostname" | "verify") && value.literal == Literal::False)
        {
            let message = format!("`{name} = False`: certificates are not checked; leave it on");
            self.find(target, "tls-verification-off", Severity::High, message);
        }
    }
}

/// What is known when either of two ways was taken.
fn join(mut one: Scope, other: &Scope) -> Scope {
    for (name, value) in other {
        match one.get_mut(name) {
            Some(known) => *known = known.or(value),
            None => {
                // `if`-less: it may not be there, but where it is it is this.
                one.insert(name.clone(), value.clone());
            }
        }
    }
    one
}

/// Whether a body never reaches what follows it.
fn leaves(body: &[Stmt]) -> bool {
    matches!(
        body.last(),
        Some(Stmt::Return(_) | Stmt::Raise(_) | Stmt::Continue(_) | Stmt::Break(_))
    )
}

#[derive(Clone, Copy, PartialEq)]
enum Proof {
    Holds,
    Fails,
}

/// Places that a test has checked, when it holds or fails.
fn proven(test: &Expr, proof: Proof) -> Vec<String> {
    match test {
        Expr::UnaryOp(not) if not.op == UnaryOp::Not => {
            proven(&not.operand, if proof == Proof::Holds { Proof::Fails } else { Proof::Holds })
        }
        Expr::BoolOp(all)
            if (all.op == BoolOp::And && proof == Proof::Holds)
                || (all.op == BoolOp::Or && proof == Proof::Fails) =>
        {
            all.values.iter().flat_map(|value| proven(value, proof)).collect()
        }
        Expr::Compare(compare) => {
            let [op] = compare.ops.as_ref() else { return Vec::new() };
            let wanted = match op {
                CmpOp::In | CmpOp::Eq => Proof::Holds,
                CmpOp::NotIn | CmpOp::NotEq => Proof::Fails,
                _ => return Vec::new(),
            };
            // `"x" in value` says little of `value`.
            if wanted == proof && !compare.left.is_literal_expr() {
                names::places(&compare.left)
            } else {
                Vec::new()
            }
        }
        Expr::Call(call) if proof == Proof::Holds => {
            let Expr::Attribute(method) = call.func.as_ref() else {
                return Vec::new();
            };
            match method.attr.as_str() {
                "isidentifier" | "isalnum" | "isdigit" | "isdecimal" | "isnumeric" | "isalpha"
                | "is_relative_to" => names::places(&method.value),
                "fullmatch" | "match" => {
                    call.arguments.args.iter().flat_map(names::places).collect()
                }
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

/// The names that a pattern binds.
fn captured(pattern: &ruff_python_ast::Pattern) -> Vec<String> {
    use ruff_python_ast::Pattern;
    use ruff_python_ast::visitor::{Visitor, walk_pattern};
    struct Names(Vec<String>);
    impl<'tree> Visitor<'tree> for Names {
        fn visit_pattern(&mut self, pattern: &'tree Pattern) {
            let name = match pattern {
                Pattern::MatchAs(pattern) => pattern.name.as_ref(),
                Pattern::MatchStar(pattern) => pattern.name.as_ref(),
                Pattern::MatchMapping(pattern) => pattern.rest.as_ref(),
                _ => None,
            };
            self.0.extend(name.map(ToString::to_string));
            walk_pattern(self, pattern);
        }
    }
    let mut names = Names(Vec::new());
    names.visit_pattern(pattern);
    names.0
}

/// A value's items, shared.
#[expect(clippy::rc_buffer, reason = "made once from a list, and shared from then on")]
pub(super) fn entries(items: Vec<(String, Value)>) -> Rc<Vec<(String, Value)>> {
    Rc::new(items)
}
