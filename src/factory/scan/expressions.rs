//! What expressions are worth.

use ruff_python_ast::visitor::{Visitor, walk_expr};
use ruff_python_ast::{
    Comprehension, Expr, ExprBinOp, FStringPart, InterpolatedStringElement, Number, Operator,
};

use super::names;
use super::program::Scan;
use super::statements::entries;
use super::tables;
use super::value::{Literal, Origin, Value};

/// Most items of a literal that are kept apart.
const MOST_ENTRIES: usize = 64;

impl<'tree> Scan<'_, 'tree> {
    /// What is known of a value; what is wrong with how it is made is found on the way.
    pub(super) fn value(&mut self, expression: &'tree Expr) -> Value {
        match expression {
            Expr::StringLiteral(text) => {
                let text = text.value.to_str();
                self.known_keys(expression);
                Value::text(text)
            }
            Expr::BytesLiteral(bytes) => {
                let bytes: Vec<u8> = bytes.value.bytes().collect();
                Value::text(&String::from_utf8_lossy(&bytes))
            }
            Expr::NumberLiteral(number) => {
                let mut value = Value::of(Origin::Constant);
                if let Number::Int(number) = &number.value
                    && let Some(number) = number.as_i64()
                {
                    value = Value::text(&number.to_string());
                    value.literal = Literal::Number(number);
                }
                value
            }
            Expr::BooleanLiteral(boolean) => {
                let mut value = Value::of(Origin::Constant);
                value.literal = if boolean.value { Literal::True } else { Literal::False };
                value
            }
            Expr::NoneLiteral(_) => {
                let mut value = Value::of(Origin::Constant);
                value.literal = Literal::None;
                value
            }
            Expr::EllipsisLiteral(_) => Value::of(Origin::Constant),
            Expr::Name(name) => {
                let value = self.name(name.id.as_str());
                self.reference(expression, &value);
                value
            }
            Expr::Attribute(attribute) => {
                let owner = self.value(&attribute.value);
                self.attribute(expression, &owner, attribute.attr.as_str())
            }
            Expr::Subscript(subscript) => {
                let whole = self.value(&subscript.value);
                let key = self.value(&subscript.slice);
                self.subscript(expression, &whole, &key)
            }
            Expr::Call(call) => self.call(call),
            Expr::BinOp(operation) => self.operation(operation),
            Expr::FString(text) => {
                let mut values = Vec::new();
                for part in text.value.as_slice() {
                    match part {
                        FStringPart::Literal(text) => values.push(Value::text(text)),
                        FStringPart::FString(text) => {
                            for element in &text.elements {
                                values.push(self.element(element));
                            }
                        }
                    }
                }
                let value = Value::concat(&values);
                self.known_keys(expression);
                value
            }
            Expr::TString(text) => {
                let values: Vec<Value> =
                    text.value.elements().map(|element| self.element(element)).collect();
                Value::concat(&values)
            }
            Expr::BoolOp(operation) => self.any(&operation.values),
            Expr::If(choice) => {
                self.value(&choice.test);
                let body = self.value(&choice.body);
                body.or(&self.value(&choice.orelse))
            }
            Expr::Named(named) => {
                let value = self.value(&named.value);
                self.assign(&named.target, &value, Some(&named.value));
                value
            }
            Expr::Await(inner) => self.value(&inner.value),
            Expr::Starred(inner) => self.value(&inner.value),
            Expr::Yield(inner) => {
                if let Some(inner) = &inner.value {
                    self.value(inner);
                }
                Value::of(Origin::Unknown)
            }
            Expr::YieldFrom(inner) => {
                self.value(&inner.value);
                Value::of(Origin::Unknown)
            }
            Expr::Compare(compare) => {
                self.value(&compare.left);
                for value in &compare.comparators {
                    self.value(value);
                }
                Value::of(Origin::Harmless)
            }
            Expr::UnaryOp(operation) => {
                let inner = self.value(&operation.operand);
                let mut value = inner.derived();
                value.secret = None;
                value
            }
            Expr::Tuple(items) => self.items(&items.elts),
            Expr::List(items) => self.items(&items.elts),
            Expr::Set(items) => self.items(&items.elts),
            Expr::Dict(dictionary) => {
                let mut all = Vec::new();
                let mut keys = Origin::Constant;
                let mut parts = Vec::new();
                for item in &dictionary.items {
                    let key = item.key.as_ref().map(|key| self.value(key));
                    let value = self.value(&item.value);
                    if let Some(key) = &key {
                        keys = keys.max(key.origin());
                        if let Some(key) = key.constant() {
                            self.keep_out_of_code(&item.value, &key, &value);
                            if all.len() < MOST_ENTRIES {
                                all.push((key, value.clone()));
                            }
                        }
                    } else {
                        // `{**other}` takes its items over.
                        keys = keys.max(value.keys.unwrap_or(value.origin()));
                        all.extend(value.entries.iter().cloned());
                    }
                    parts.push(value);
                }
                let mut whole = worst(&parts);
                whole.entries = entries(all);
                whole.keys = Some(keys);
                whole
            }
            Expr::ListComp(made) => self.comprehension(&made.generators, &made.elt),
            Expr::SetComp(made) => self.comprehension(&made.generators, &made.elt),
            Expr::Generator(made) => self.comprehension(&made.generators, &made.elt),
            Expr::DictComp(made) => {
                let around = self.scope.clone();
                self.generators(&made.generators);
                let keys = made.key.as_ref().map(|key| self.value(key).origin());
                let value = self.value(&made.value);
                self.scope = around;
                let mut whole = value.derived();
                whole.keys = Some(keys.unwrap_or(value.origin()));
                whole
            }
            Expr::Lambda(lambda) => {
                let around = self.scope.clone();
                // What it is given is not known.
                if let Some(parameters) = &lambda.parameters {
                    for parameter in &**parameters {
                        if let Some(default) = parameter.default() {
                            self.value(default);
                        }
                        let name = parameter.name().as_str().to_owned();
                        self.forget(&name);
                        self.scope.insert(name, Value::of(Origin::Unknown));
                    }
                }
                self.value(&lambda.body);
                self.scope = around;
                Value::named("local")
            }
            Expr::Slice(slice) => {
                for part in [&slice.lower, &slice.upper, &slice.step].into_iter().flatten() {
                    self.value(part);
                }
                Value::of(Origin::Harmless)
            }
            Expr::IpyEscapeCommand(_) => Value::of(Origin::Unknown),
        }
    }

    /// The value of an expression that is read elsewhere too, so that nothing is found twice.
    pub(super) fn quiet_value(&mut self, expression: &Expr) -> Value {
        match names::place(expression).and_then(|place| self.scope.get(&place).cloned()) {
            Some(value) => value,
            None => match expression {
                Expr::Subscript(inner) => self.quiet_value(&inner.value).derived(),
                Expr::Attribute(inner) => self.quiet_value(&inner.value).derived(),
                Expr::Call(inner) => self.quiet_value(&inner.func).derived(),
                _ => Value::of(Origin::Unknown),
            },
        }
    }

    fn name(&self, name: &str) -> Value {
        if let Some(value) = self.scope.get(name) {
            return value.clone();
        }
        let starred = self.stars.iter().map(|module| format!("{module}.{name}"));
        let known = starred.into_iter().find(|path| tables::references(path).is_some());
        let path = known.unwrap_or_else(|| format!("builtins.{name}"));
        if matches!(path.as_str(), "builtins.__file__" | "builtins.__name__") {
            return Value::of(Origin::Constant);
        }
        Value::named(&path)
    }

    /// What an attribute is, of a value that was read.
    pub(super) fn attribute(&mut self, node: &Expr, owner: &Value, name: &str) -> Value {
        if tables::INTERNALS.contains(&name) {
            self.internals(node, name);
        }
        if let Some(place) = names::place(node)
            && let Some(value) = self.scope.get(&place)
        {
            let value = value.clone();
            self.reference(node, &value);
            return value;
        }
        let mut value = match owner.path() {
            "" | "local" => owner.derived(),
            path => {
                let mut value = Value::named(&format!("{path}.{name}"));
                value.parts.clone_from(&owner.derived().parts);
                value
            }
        };
        // Only the last part of a path.
        if matches!(name, "name" | "stem" | "suffix") && owner.path() == tables::PATH {
            value = value.checked();
        }
        value.secret = names::is_secret(name).then(|| name.into());
        self.reference(node, &value);
        value
    }

    fn subscript(&mut self, node: &'tree Expr, whole: &Value, key: &Value) -> Value {
        if let Some(place) = names::place(node)
            && let Some(value) = self.scope.get(&place)
        {
            return value.clone();
        }
        let constant = key.constant();
        if whole.path() == "os.environ" {
            return self.environment(node, key);
        }
        if matches!(whole.path(), "builtins.globals()" | "builtins.vars()") && constant.is_none() {
            self.by_built_name(node);
        }
        if let Some(known) = constant.as_deref().and_then(|key| whole.entry(key)) {
            return known.clone();
        }
        let mut value = if whole.entries.is_empty() { whole.derived() } else { whole.item() };
        if whole.keys.is_some() && !whole.entries.is_empty() {
            let mut inner = whole.clone();
            inner.keys = None;
            value = inner.item();
        }
        value.secret = constant.filter(|key| names::is_secret(key)).map(Into::into);
        value
    }

    fn operation(&mut self, operation: &'tree ExprBinOp) -> Value {
        let left = self.value(&operation.left);
        let right = self.value(&operation.right);
        match operation.op {
            Operator::Add => Value::concat(&[left, right]),
            // `"… %s" % value` puts it in; the text around is what the left side reads.
            Operator::Mod if left.outline().contains('%') => percent(&left, &right),
            // A path below a path.
            Operator::Div if left.path() == tables::PATH || right.path() == tables::PATH => {
                let mut value = Value::concat(&[left, Value::text("/"), right]);
                value.path = Some(tables::PATH.into());
                value
            }
            Operator::Mult => {
                let mut value = left.or(&right).derived();
                if left.origin().min(right.origin()) == Origin::Constant
                    && (left.constant().is_some() || !left.entries.is_empty())
                    && right.origin() <= Origin::Argument
                {
                    // `"?, " * n` is as harmless as what is repeated.
                    value = left.derived();
                }
                value
            }
            _ => {
                let mut value = left.or(&right).derived();
                value.secret = None;
                value
            }
        }
    }

    fn element(&mut self, element: &'tree InterpolatedStringElement) -> Value {
        match element {
            InterpolatedStringElement::Literal(text) => Value::text(&text.value),
            InterpolatedStringElement::Interpolation(inner) => {
                let mut value = self.value(&inner.expression);
                if let Some(format) = &inner.format_spec {
                    let mut numeric = false;
                    for element in &format.elements {
                        let format = self.element(element);
                        numeric |= format.constant().is_some_and(|format| {
                            format.ends_with(['d', 'f', 'e', 'g', 'x', 'X', 'b', 'o', 'n', '%'])
                        });
                    }
                    if numeric {
                        value = value.checked();
                    }
                }
                value
            }
        }
    }

    fn any(&mut self, values: &'tree [Expr]) -> Value {
        let mut all: Option<Value> = None;
        for value in values {
            let value = self.value(value);
            all = Some(all.map_or_else(|| value.clone(), |all| all.or(&value)));
        }
        all.unwrap_or_default()
    }

    fn items(&mut self, items: &'tree [Expr]) -> Value {
        let values: Vec<Value> = items.iter().map(|item| self.value(item)).collect();
        let mut whole = worst(&values);
        let named = values.into_iter().take(MOST_ENTRIES).enumerate();
        whole.entries = entries(named.map(|(place, value)| (place.to_string(), value)).collect());
        whole
    }

    fn generators(&mut self, generators: &'tree [Comprehension]) {
        for generator in generators {
            let items = self.value(&generator.iter);
            self.bind(&generator.target, &generator.iter, &items);
            for test in &generator.ifs {
                self.value(test);
                self.trust_test(test);
            }
        }
    }

    fn comprehension(&mut self, generators: &'tree [Comprehension], element: &'tree Expr) -> Value {
        let around = self.scope.clone();
        self.generators(generators);
        let mut value = self.value(element);
        self.scope = around;
        // One item stands for all of them.
        let known = value.clone();
        if known.origin() == Origin::Constant {
            value = known.derived();
        }
        value.literal = Literal::Other;
        value.path = None;
        value
    }
}

/// A collection of values is as dangerous as the worst of them.
fn worst(values: &[Value]) -> Value {
    let mut whole = Value::of(Origin::Constant);
    for value in values {
        let secret = whole.secret.take().or_else(|| value.secret.clone());
        let built = whole.built || value.built;
        whole = Value::of(whole.origin().max(value.origin()));
        whole.built = built;
        whole.secret = secret;
    }
    whole
}

/// `"text %s" % values`.
fn percent(format: &Value, values: &Value) -> Value {
    let outline = format.outline();
    let mut pieces = Vec::new();
    let hole = if values.entries.is_empty() {
        values.derived()
    } else {
        worst(&values.entries.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>())
    };
    let mut rest = outline.as_str();
    while let Some((before, after)) = rest.split_once('%') {
        pieces.push(Value::text(before));
        if let Some(after) = after.strip_prefix('%') {
            pieces.push(Value::text("%"));
            rest = after;
            continue;
        }
        let end = after.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
        // `%(name)s`: the conversion follows the bracket.
        let end = if after.starts_with('(') {
            after.find(')').map_or(end, |close| close + 1)
        } else {
            end
        };
        let conversion = after.get(end..).and_then(|after| after.chars().next());
        let number = conversion.is_some_and(|c| "diufFeEgGxXo".contains(c));
        pieces.push(if number { hole.checked() } else { hole.clone() });
        rest = after.get(end + conversion.map_or(0, char::len_utf8)..).unwrap_or_default();
    }
    pieces.push(Value::text(rest));
    let mut whole = Value::concat(&pieces);
    if format.origin() > Origin::Constant {
        whole.parts.push(super::value::Part::Hole(format.origin()));
        whole.built |= format.built;
    }
    whole
}

/// Whether an expression mentions a name that must not be guessed.
pub(super) fn mentions(expression: &Expr, wanted: fn(&str) -> bool) -> bool {
    struct Mentions {
        wanted: fn(&str) -> bool,
        found: bool,
    }
    impl<'tree> Visitor<'tree> for Mentions {
        fn visit_expr(&mut self, expression: &'tree Expr) {
            self.found |= names::spoken(expression).is_some_and(self.wanted);
            walk_expr(self, expression);
        }
    }
    let mut mentions = Mentions { wanted, found: false };
    mentions.visit_expr(expression);
    mentions.found
}
