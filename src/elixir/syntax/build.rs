//! The parser's tree into ours.

use tree_sitter::{Node, Parser};

use super::{Block, Call, Expr, Kind, Pair, Parens, Parsed};

/// Deepest nesting that is looked into.
const DEPTH: usize = 120;

/// Reads a text. `None` only when the parser itself cannot be set up.
pub(crate) fn parse(text: &str) -> Option<Parsed> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_elixir::LANGUAGE.into()).ok()?;
    let tree = parser.parse(text, None)?;
    let root = tree.root_node();
    let broken_line = if root.has_error() { Some(first_error(root)) } else { None };
    let reader = Reader { text };
    Some(Parsed { body: reader.children(root, 0), broken_line })
}

fn first_error(root: Node<'_>) -> usize {
    let mut node = root;
    loop {
        if node.is_error() || node.is_missing() {
            return node.start_position().row + 1;
        }
        let mut cursor = node.walk();
        let Some(next) = node.children(&mut cursor).find(Node::has_error) else {
            return node.start_position().row + 1;
        };
        node = next;
    }
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn children(&self, node: Node<'_>, depth: usize) -> Vec<Expr> {
        let mut cursor = node.walk();
        node.named_children(&mut cursor)
            .filter(|child| child.kind() != "comment")
            .map(|child| self.expr(child, depth + 1))
            .collect()
    }

    fn slice(&self, node: Node<'_>) -> String {
        self.text.get(node.byte_range()).unwrap_or_default().to_owned()
    }

    fn expr(&self, node: Node<'_>, depth: usize) -> Expr {
        Expr { kind: self.kind(node, depth), span: node.byte_range() }
    }

    fn kind(&self, node: Node<'_>, depth: usize) -> Kind {
        if depth > DEPTH || node.is_error() {
            return Kind::Other(self.slice(node));
        }
        let known = match node.kind() {
            "call" => self.call(node, depth),
            "keywords" => Some(Kind::Keywords(self.pairs(node, depth))),
            "list" => Some(Kind::List(self.children(node, depth))),
            "tuple" => Some(Kind::Tuple(self.children(node, depth))),
            "map" => self.map(node, depth),
            "atom" => Some(Kind::Atom(self.slice(node).trim_start_matches(':').to_owned())),
            "quoted_atom" => self.plain_content(node).map(Kind::Atom),
            "string" => self.plain_text(node),
            "alias" => Some(Kind::Alias(self.slice(node))),
            "identifier" => Some(Kind::Name(self.slice(node))),
            "integer" | "float" | "boolean" | "nil" => Some(Kind::Scalar(self.slice(node))),
            "binary_operator" => self.binary(node, depth),
            "unary_operator" => self.unary(node, depth),
            "anonymous_function" => self.function(node, depth),
            _ => None,
        };
        known.unwrap_or_else(|| Kind::Other(self.slice(node)))
    }

    fn call(&self, node: Node<'_>, depth: usize) -> Option<Kind> {
        let target = self.slice(node.child_by_field_name("target")?);
        let mut cursor = node.walk();
        let mut args = Vec::new();
        let mut parens = Parens::None;
        let mut block = None;
        for child in node.named_children(&mut cursor) {
            match child.kind() {
                "arguments" => {
                    args = self.children(child, depth);
                    if self.slice(child).starts_with('(') {
                        parens = Parens::Written;
                    }
                }
                "do_block" => block = self.block(child, depth),
                _ => {}
            }
        }
        if args.is_empty() && parens == Parens::None && block.is_none() {
            return Some(Kind::Name(target));
        }
        Some(Kind::Call(Box::new(Call { target, args, parens, block })))
    }

    fn block(&self, node: Node<'_>, depth: usize) -> Option<Block> {
        let mut cursor = node.walk();
        let opening = node.children(&mut cursor).find(|child| child.kind() == "do")?;
        let mut cursor = node.walk();
        let closing = node.children(&mut cursor).filter(|child| child.kind() == "end").last()?;
        let body = self.children(node, depth);
        Some(Block { body, start: opening.end_byte(), end: closing.start_byte() })
    }

    fn pairs(&self, node: Node<'_>, depth: usize) -> Vec<Pair> {
        let mut cursor = node.walk();
        let mut pairs = Vec::new();
        for child in node.named_children(&mut cursor).filter(|child| child.kind() == "pair") {
            let (Some(key), Some(value)) =
                (child.child_by_field_name("key"), child.child_by_field_name("value"))
            else {
                continue;
            };
            let written = self.slice(key);
            let key = written.trim_end().trim_end_matches(':').trim_matches('"').to_owned();
            pairs.push(Pair { key, value: self.expr(value, depth + 1), span: child.byte_range() });
        }
        pairs
    }

    fn map(&self, node: Node<'_>, depth: usize) -> Option<Kind> {
        let mut cursor = node.walk();
        let mut head = "%".to_owned();
        let mut items = Vec::new();
        for child in node.named_children(&mut cursor) {
            match child.kind() {
                "struct" => head.push_str(&self.slice(child)),
                "map_content" => items = self.children(child, depth),
                _ => return None,
            }
        }
        Some(Kind::Map(head, items))
    }

    /// The content of a quoted thing that has no interpolation.
    fn plain_content(&self, node: Node<'_>) -> Option<String> {
        let mut cursor = node.walk();
        let mut content = String::new();
        for child in node.named_children(&mut cursor) {
            match child.kind() {
                "quoted_content" | "escape_sequence" => content.push_str(&self.slice(child)),
                _ => return None,
            }
        }
        Some(content)
    }

    fn plain_text(&self, node: Node<'_>) -> Option<Kind> {
        if self.slice(node).starts_with("\"\"\"") {
            return None;
        }
        self.plain_content(node).map(Kind::Text)
    }

    fn binary(&self, node: Node<'_>, depth: usize) -> Option<Kind> {
        let left = self.expr(node.child_by_field_name("left")?, depth + 1);
        let right = self.expr(node.child_by_field_name("right")?, depth + 1);
        let operator = self.slice(node.child_by_field_name("operator")?);
        // Ranges and the like are written without spaces.
        if matches!(operator.as_str(), ".." | "//" | "/") {
            return None;
        }
        Some(Kind::Binary(operator, Box::new(left), Box::new(right)))
    }

    fn unary(&self, node: Node<'_>, depth: usize) -> Option<Kind> {
        let operator = self.slice(node.child_by_field_name("operator")?);
        let operand = self.expr(node.child_by_field_name("operand")?, depth + 1);
        Some(Kind::Unary(operator, Box::new(operand)))
    }

    fn function(&self, node: Node<'_>, depth: usize) -> Option<Kind> {
        let mut cursor = node.walk();
        let clauses: Vec<Node<'_>> = node
            .named_children(&mut cursor)
            .filter(|child| child.kind() == "stab_clause")
            .collect();
        let [clause] = clauses.as_slice() else { return None };
        let head = clause
            .child_by_field_name("left")
            .map(|left| format!("{} ", self.slice(left)))
            .unwrap_or_default();
        let body = self.children(clause.child_by_field_name("right")?, depth);
        let mut body = body.into_iter();
        match (body.next(), body.next()) {
            (Some(only), None) => Some(Kind::Function(head, Box::new(only))),
            _ => None,
        }
    }
}
