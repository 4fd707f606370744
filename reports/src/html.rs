//! What every page shares: skeleton, style sheet, tables, safe text. Self-contained; light and dark; narrow and wide; prints.

use crate::plot::Figure;
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");

/// Text made safe for HTML.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// Text made safe for HTML, what stands between backticks set as what one types.
fn prose(text: &str) -> String {
    let safe = escape(text);
    let parts: Vec<&str> = safe.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return safe;
    }
    let piece =
        |(i, part): (usize, &&str)| if i % 2 == 1 { format!("<code>{part}</code>") } else { (*part).to_owned() };
    parts.iter().enumerate().map(piece).collect()
}

/// A name made safe for HTML that may be broken after an underscore or a full stop, so that a narrow page has room beside it.
fn breakable(name: &str) -> String {
    escape(name).replace('_', "_<wbr>").replace('.', ".<wbr>")
}

/// With a capital letter in front.
fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    class: &'static str,
}

impl Cell {
    /// A number: to the right, digits under digits.
    pub(crate) fn number(text: impl Into<String>) -> Self {
        Self { text: text.into(), class: "n" }
    }

    /// A moment, in one line.
    pub(crate) fn time(at: slacktide_engine::time::Instant) -> Self {
        Self { text: at.to_string(), class: "t" }
    }

    /// The best number of its column.
    pub(crate) fn best(text: impl Into<String>) -> Self {
        Self { text: text.into(), class: "n best" }
    }

    /// Said, but nothing to look at.
    pub(crate) fn quiet(text: impl Into<String>) -> Self {
        Self { text: text.into(), class: "quiet" }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), class: "" }
    }
}

/// A page that is being written.
#[derive(Debug)]
pub(crate) struct Page {
    head: String,
    text: String,
    sections: Vec<String>,
}

impl Page {
    /// Begins a page: a heading and a line under it.
    pub(crate) fn new(heading: &str, under: &str) -> Self {
        let (heading, under) = (escape(heading), escape(under));
        Self {
            sections: Vec::new(),
            text: String::new(),
            head: format!(
                "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">\
                 <title>{heading} · slacktide</title><style>{STYLE}</style></head><body><main><h1>{heading}</h1><p class=soft>{under}</p>"
            ),
        }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(text);
    }

    /// A heading of a section.
    pub(crate) fn section(&mut self, heading: &str) {
        self.sections.push(escape(heading));
        let number = self.sections.len();
        self.push(format_args!("<h2 id=s{number}>{}</h2>", escape(heading)));
    }

    /// A heading within a section.
    pub(crate) fn part(&mut self, heading: &str) {
        self.push(format_args!("<h3>{}</h3>", escape(heading)));
    }

    /// A paragraph.
    pub(crate) fn say(&mut self, text: &str) {
        self.push(format_args!("<p>{}</p>", prose(text)));
    }

    /// A remark in a softer colour.
    pub(crate) fn note(&mut self, text: &str) {
        self.push(format_args!("<p class=soft>{}</p>", prose(text)));
    }

    /// Remarks of a document, which are written without a capital and a full stop.
    pub(crate) fn remarks(&mut self, remarks: &[String]) {
        for remark in remarks {
            let end = if remark.ends_with(['.', '!', '?', ':']) { "" } else { "." };
            // A file or a model that begins it is written as it is.
            let is_word = remark.split(' ').next().is_some_and(|word| word.chars().all(char::is_alphabetic));
            let begun = if is_word { capitalised(remark) } else { remark.clone() };
            self.note(&format!("{begun}{end}"));
        }
    }

    /// Sentences a line each; a broken promise stands out.
    pub(crate) fn sentences<'a>(&mut self, sentences: impl IntoIterator<Item = &'a String>) {
        for sentence in sentences {
            let class = if sentence.starts_with("PROMISE") { " class=bad" } else { "" };
            self.push(format_args!("<p{class}>{}</p>", prose(sentence)));
        }
    }

    /// A picture under its title, and the figures behind it as a table to unfold.
    pub(crate) fn figure(&mut self, figure: &Figure, caption: &str) {
        let title = escape(&capitalised(&figure.title));
        self.push(format_args!("<figure><figcaption><strong>{title}.</strong> {}</figcaption>", escape(caption)));
        // Whoever has no mouse scrolls what has the focus.
        self.push(format_args!(
            "<div class=plot tabindex=0 role=group aria-label=\"Picture: {title}\">{}</div>",
            figure.body
        ));
        if let Some(data) = &figure.data {
            let header: Vec<&str> = data.header.iter().map(String::as_str).collect();
            self.folded_table(&format!("The figures of “{}”", figure.title), &header, &data.rows);
        }
        self.text.push_str("</figure>");
    }

    /// A table; a column is aligned as its first row is, and the first cell of a row names it.
    pub(crate) fn table(&mut self, header: &[&str], rows: &[Vec<Cell>]) {
        self.rows(header, rows, "Table");
    }

    /// Facts, a line each: what, and its value.
    pub(crate) fn facts(&mut self, facts: &[(&str, String)]) {
        self.text.push_str("<table class=facts><tbody>");
        for (name, value) in facts {
            self.push(format_args!("<tr><th scope=row>{}</th><td>{}</td></tr>", escape(name), escape(value)));
        }
        self.text.push_str("</tbody></table>");
    }

    fn rows(&mut self, header: &[&str], rows: &[Vec<Cell>], label: &str) {
        let of = header.iter().find(|name| !name.is_empty()).copied().unwrap_or_default();
        let label = escape(&format!("{label}: {of}"));
        self.push(format_args!("<div class=wide tabindex=0 role=group aria-label=\"{label}\"><table><thead><tr>"));
        for (i, name) in header.iter().enumerate() {
            let is_number = rows.first().and_then(|r| r.get(i)).is_some_and(|c| c.class.starts_with('n'));
            let class = if is_number { " class=n" } else { "" };
            // A header cell must say something: the corner of a matrix is no header.
            if name.is_empty() {
                self.text.push_str("<td></td>");
            } else {
                self.push(format_args!("<th scope=col{class}>{}</th>", escape(name)));
            }
        }
        self.text.push_str("</tr></thead><tbody>");
        for row in rows {
            self.text.push_str("<tr>");
            for (i, cell) in row.iter().enumerate() {
                let class = if cell.class.is_empty() { String::new() } else { format!(" class=\"{}\"", cell.class) };
                if i == 0 {
                    let text = if cell.class.is_empty() { breakable(&cell.text) } else { escape(&cell.text) };
                    self.push(format_args!("<th scope=row{class}>{text}</th>"));
                } else {
                    self.push(format_args!("<td{class}>{}</td>", escape(&cell.text)));
                }
            }
            self.text.push_str("</tr>");
        }
        self.text.push_str("</tbody></table></div>");
    }

    /// A table of many narrow columns.
    pub(crate) fn small_table(&mut self, header: &[&str], rows: &[Vec<Cell>]) {
        self.text.push_str("<div class=small>");
        self.table(header, rows);
        self.text.push_str("</div>");
    }

    /// A table behind a line to click.
    pub(crate) fn folded_table(&mut self, summary: &str, header: &[&str], rows: &[Vec<Cell>]) {
        self.push(format_args!("<details><summary>{}</summary>", escape(summary)));
        self.rows(header, rows, summary);
        self.text.push_str("</details>");
    }

    /// A text as it is written, behind a line to click.
    pub(crate) fn folded_text(&mut self, summary: &str, text: &str) {
        self.push(format_args!(
            "<details><summary>{}</summary><pre tabindex=0>{}</pre></details>",
            escape(summary),
            escape(text)
        ));
    }

    /// Words and what they mean.
    pub(crate) fn glossary(&mut self, words: &[(&str, &str)]) {
        self.text.push_str("<dl>");
        words.iter().for_each(|(word, means)| {
            self.push(format_args!("<dt>{}</dt><dd>{}</dd>", escape(word), escape(means)));
        });
        self.text.push_str("</dl>");
    }

    /// The page, done.
    pub(crate) fn finish(self) -> String {
        let mut page = self.head;
        page.push_str("<nav aria-label=\"On this page\"><ul>");
        for (i, heading) in self.sections.iter().enumerate() {
            let _ = write!(page, "<li><a href=\"#s{}\">{heading}</a></li>", i + 1);
        }
        page.push_str("</ul></nav>");
        page.push_str(&self.text);
        page.push_str("</main></body></html>\n");
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_stands_apart_and_remarks_are_sentences() {
        let mut page = Page::new("h", "u");
        page.say("run `a <b>` or `c`");
        page.say("a ` alone");
        page.remarks(&["learned from 10 devices".to_owned(), "It is so.".to_owned()]);
        page.table(&["measure"], &[vec!["makespan_s".into()]]);
        let html = page.finish();
        assert!(html.contains("<p>run <code>a &lt;b&gt;</code> or <code>c</code></p><p>a ` alone</p>"), "{html}");
        assert!(html.contains("<p class=soft>Learned from 10 devices.</p><p class=soft>It is so.</p>"), "{html}");
        assert!(html.contains("<th scope=row>makespan_<wbr>s</th>"), "{html}");
    }

    #[test]
    fn nothing_written_by_others_becomes_markup() {
        let mut page = Page::new("<b>", "a & b");
        page.table(&["<i>", "n"], &[vec!["<script>".into(), Cell::number("1")]]);
        page.folded_text("'", "\"");
        let html = page.finish();
        assert!(!html.contains("<script>") && !html.contains("<b>") && !html.contains("<i>"), "{html}");
        assert!(html.contains("<th scope=col class=n>n</th>") && html.contains("&quot;") && html.contains("a &amp; b"));
    }
}
