//! The syntax tree of a template.

use std::sync::Arc;

/// Shared name of a variable, an attribute or a filter.
pub(in super::super) type Name = Arc<str>;

/// An expression with its line.
#[derive(Debug)]
pub(in super::super) struct Node {
    pub(in super::super) expression: Expression,
    pub(in super::super) line: usize,
}

/// A constant of the template.
#[derive(Debug, Clone)]
pub(in super::super) enum Literal {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Arc<str>),
}

#[derive(Debug)]
pub(in super::super) enum Expression {
    Literal(Literal),
    Name(Name),
    Tuple(Vec<Node>),
    List(Vec<Node>),
    Dict(Vec<(Node, Node)>),
    Unary(UnaryOperator, Box<Node>),
    Binary(BinaryOperator, Box<[Node; 2]>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    /// A chain of comparisons: `a < b < c`.
    Compare(Box<Node>, Vec<(Comparison, Node)>),
    /// `a ~ b ~ c`.
    Concat(Vec<Node>),
    Conditional(Box<Conditional>),
    Attribute(Box<Node>, Name),
    Item(Box<[Node; 2]>),
    Slice(Box<Node>, Box<[Option<Node>; 3]>),
    Call(Box<Node>, CallArguments),
    Filter(Box<Operation>),
    Test(Box<Operation>),
}

/// `value if condition else otherwise`.
#[derive(Debug)]
pub(in super::super) struct Conditional {
    pub(in super::super) condition: Node,
    pub(in super::super) value: Node,
    pub(in super::super) otherwise: Option<Node>,
}

/// A filter or a test with its operand.
#[derive(Debug)]
pub(in super::super) struct Operation {
    pub(in super::super) name: Name,
    /// `None` for the first filter of a block, which is applied to the text of the block.
    pub(in super::super) operand: Option<Node>,
    pub(in super::super) arguments: CallArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum UnaryOperator {
    Not,
    Negative,
    Positive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum BinaryOperator {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

/// Arguments of a call: `f(a, *b, c=d, **e)`.
#[derive(Debug, Default)]
pub(in super::super) struct CallArguments {
    pub(in super::super) positional: Vec<Node>,
    pub(in super::super) keyword: Vec<(Name, Node)>,
    pub(in super::super) star: Option<Box<Node>>,
    pub(in super::super) double_star: Option<Box<Node>>,
}

/// What an assignment assigns to.
#[derive(Debug)]
pub(in super::super) enum Target {
    Name(Name),
    Tuple(Vec<Target>),
    /// Attribute of a namespace: `ns.x`.
    NamespaceAttribute(Name, Name),
}

pub(in super::super) type Body = Vec<Statement>;

#[derive(Debug)]
pub(in super::super) enum Statement {
    Text(String),
    Print(Node),
    If {
        branches: Vec<(Node, Body)>,
        otherwise: Body,
    },
    For(Box<ForLoop>),
    Set {
        target: Target,
        value: Node,
    },
    SetBlock {
        target: Target,
        filter: Option<Node>,
        body: Body,
    },
    With {
        bindings: Vec<(Target, Node)>,
        body: Body,
    },
    Macro(Arc<Macro>),
    Call {
        call: Node,
        definition: Arc<Macro>,
    },
    FilterBlock {
        filter: Node,
        body: Body,
    },
    /// A block that sees the variables of the template, and none of the loops around it.
    Block(Body),
    /// `{% generation %}`: text of the assistant, with variables of its own.
    Generation(Body),
    Break,
    Continue,
    /// A statement that needs other templates.
    OtherTemplate {
        tag: String,
        line: usize,
    },
}

#[derive(Debug)]
pub(in super::super) struct ForLoop {
    pub(in super::super) target: Target,
    pub(in super::super) items: Node,
    pub(in super::super) condition: Option<Node>,
    pub(in super::super) recursive: bool,
    pub(in super::super) body: Body,
    pub(in super::super) otherwise: Body,
}

/// A macro, or the body of a call block.
#[derive(Debug)]
pub(in super::super) struct Macro {
    /// `None`: the body of a call block.
    pub(in super::super) name: Option<Name>,
    /// Names of the arguments and their defaults.
    pub(in super::super) parameters: Vec<(Name, Option<Node>)>,
    pub(in super::super) body: Body,
    pub(in super::super) uses: MacroUses,
    pub(in super::super) line: usize,
}

/// The special variables that the body of a macro reads.
#[derive(Debug, Default, Clone, Copy)]
pub(in super::super) struct MacroUses {
    pub(in super::super) caller: bool,
    pub(in super::super) varargs: bool,
    pub(in super::super) kwargs: bool,
}
