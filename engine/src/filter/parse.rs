//! Tokens and a recursive-descent parser whose errors point at the column.

use super::{Comparison, Expr, TextAttribute};
use crate::document::hint;
use std::fmt;

/// Longest filter, in characters.
const LENGTH_MAX: usize = 4096;
/// Deepest nesting of brackets and `!`.
const DEPTH_MAX: usize = 32;

/// A filter that does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    /// The filter.
    pub text: String,
    /// Column of the trouble, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}\n  {}\n  {:>width$}", self.column, self.problem, self.text, "^", width = self.column)
    }
}

impl std::error::Error for FilterError {}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Number(String),
    Sign(&'static str),
}

const SIGNS: [&str; 13] = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]"];

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
}

pub(super) fn parse(text: &str) -> Result<Expr, FilterError> {
    let mut parser = Parser { text, tokens: Vec::new(), next: 0, depth: 0 };
    if text.chars().count() > LENGTH_MAX {
        return Err(parser.error_at(1, format!("a filter has at most {LENGTH_MAX} characters")));
    }
    parser.tokens = tokenize(text).map_err(|(column, problem)| parser.error_at(column, problem))?;
    if parser.tokens.is_empty() {
        return Err(parser.error_at(1, "the filter is empty; `true` lets everybody through".to_owned()));
    }
    let expr = parser.any()?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.error("expected `&&`, `||` or the end")),
    }
}

fn tokenize(text: &str) -> Result<Vec<(usize, Token)>, (usize, String)> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = characters.get(at).copied() {
        let column = at + 1;
        let run = |from: usize, f: fn(char) -> bool| characters[from..].iter().take_while(|c| f(**c)).count();
        if c.is_whitespace() {
            at += 1;
        } else if c == '"' {
            let length = run(at + 1, |c| c != '"');
            if characters.get(at + 1 + length).is_none() {
                return Err((column, "this text has no closing quotation mark".to_owned()));
            }
            tokens.push((column, Token::Quoted(characters[at + 1..at + 1 + length].iter().collect())));
            at += length + 2;
        } else if c.is_ascii_digit() {
            let length = run(at, |c| c.is_ascii_digit() || c == '.');
            tokens.push((column, Token::Number(characters[at..at + length].iter().collect())));
            at += length;
        } else if c.is_ascii_alphabetic() {
            let length = run(at, |c| c.is_ascii_alphanumeric() || c == '_');
            tokens.push((column, Token::Word(characters[at..at + length].iter().collect())));
            at += length;
        } else if c == ',' {
            tokens.push((column, Token::Sign(",")));
            at += 1;
        } else {
            let rest: String = characters[at..].iter().take(2).collect();
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let Some(sign) = sign else {
                let hint = match c {
                    '=' => "; write == to compare",
                    '&' => "; write && for and",
                    '|' => "; write || for or",
                    '\'' => "; texts stand in \"double\" quotation marks",
                    _ => "",
                };
                return Err((column, format!("`{c}` has no meaning here{hint}")));
            };
            tokens.push((column, Token::Sign(sign)));
            at += sign.len();
        }
    }
    Ok(tokens)
}

impl Parser<'_> {
    fn error_at(&self, column: usize, problem: String) -> FilterError {
        FilterError { text: self.text.to_owned(), column, problem }
    }

    /// An error at the next token, or just behind the end.
    fn error(&self, problem: impl Into<String>) -> FilterError {
        let column = self.tokens.get(self.next).map_or_else(|| self.text.chars().count() + 1, |(column, _)| *column);
        self.error_at(column, problem.into())
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(s)) if *s == sign);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), FilterError> {
        if self.take(sign) { Ok(()) } else { Err(self.error(format!("expected `{sign}`"))) }
    }

    fn any(&mut self) -> Result<Expr, FilterError> {
        let mut items = vec![self.all()?];
        while self.take("||") {
            items.push(self.all()?);
        }
        Ok(if items.len() == 1 { items.remove(0) } else { Expr::Or(items) })
    }

    fn all(&mut self) -> Result<Expr, FilterError> {
        let mut items = vec![self.one()?];
        while self.take("&&") {
            items.push(self.one()?);
        }
        Ok(if items.len() == 1 { items.remove(0) } else { Expr::And(items) })
    }

    fn one(&mut self) -> Result<Expr, FilterError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        let expr = if self.take("!") {
            Expr::Not(Box::new(self.one()?))
        } else if self.take("(") {
            let inner = self.any()?;
            self.expect(")")?;
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn comparison(&mut self) -> Result<Expr, FilterError> {
        let Some(Token::Word(word)) = self.peek().cloned() else {
            return Err(self.error("expected an attribute such as version, pool or capacity, `!`, `(` or `true`"));
        };
        let text = TextAttribute::ALL.iter().find(|(name, _)| *name == word).map(|(_, attribute)| *attribute);
        match (word.as_str(), text) {
            ("true", _) => {
                self.next += 1;
                Ok(Expr::True)
            }
            ("version", _) => self.version(),
            ("capacity", _) => self.capacity(),
            (_, Some(attribute)) => self.text(attribute),
            (word, None) => {
                let names = TextAttribute::ALL.map(|(name, _)| name);
                let all = names.into_iter().chain(["version", "capacity", "true"]);
                let hint = hint(word, all);
                Err(self.error(format!(
                    "there is no attribute `{word}`{hint} There are {}, version, capacity",
                    names.join(", ")
                )))
            }
        }
    }

    fn sign(&mut self) -> Result<Comparison, FilterError> {
        self.next += 1;
        if let Some(Token::Sign(sign)) = self.peek()
            && let Some((_, comparison)) = Comparison::ALL.iter().find(|(s, _)| s == sign)
        {
            self.next += 1;
            return Ok(*comparison);
        }
        Err(self.error("expected one of == != < <= > >="))
    }

    fn version(&mut self) -> Result<Expr, FilterError> {
        let comparison = self.sign()?;
        let (Some(Token::Number(text)) | Some(Token::Quoted(text))) = self.peek().cloned() else {
            return Err(self.error("expected a version such as 2.4"));
        };
        let version = text.parse().map_err(|e: crate::version::BadVersion| self.error(e.to_string()))?;
        self.next += 1;
        Ok(Expr::Version { comparison, version })
    }

    fn capacity(&mut self) -> Result<Expr, FilterError> {
        let comparison = self.sign()?;
        let number = match self.peek() {
            Some(Token::Number(text)) => text.parse::<f64>().ok().filter(|n| n.is_finite()),
            _ => None,
        };
        let Some(percent) = number else {
            return Err(self.error("expected a capacity score from 0 to 100, such as 40"));
        };
        self.next += 1;
        Ok(Expr::Capacity { comparison, percent })
    }

    fn text(&mut self, attribute: TextAttribute) -> Result<Expr, FilterError> {
        self.next += 1;
        if matches!(self.peek(), Some(Token::Word(word)) if word == "in") {
            self.next += 1;
            self.expect("[")?;
            let mut values = vec![self.quoted()?];
            while self.take(",") {
                values.push(self.quoted()?);
            }
            self.expect("]")?;
            return Ok(Expr::Text { attribute, equal: true, values });
        }
        let equal = if self.take("==") {
            true
        } else if self.take("!=") {
            false
        } else {
            return Err(self.error("expected ==, != or in (order is for version and capacity)"));
        };
        Ok(Expr::Text { attribute, equal, values: vec![self.quoted()?] })
    }

    fn quoted(&mut self) -> Result<String, FilterError> {
        let Some(Token::Quoted(text)) = self.peek().cloned() else {
            return Err(self.error("expected a text in \"quotation marks\""));
        };
        self.next += 1;
        Ok(text)
    }
}
