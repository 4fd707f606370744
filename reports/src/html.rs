//! What every page shares: skeleton, style sheet, tables, safe text. Self-contained; light and dark; narrow and wide; prints.

use std::fmt::Write as _;

const STYLE: &str = "
:root{color-scheme:light dark;--bg:#fff;--ink:#1b2733;--soft:#5a6b7b;--line:#dbe2e8;--first:#0b62a4;--second:#b35a00;--third:#2f7d4f;--alarm:#c0261c;--band:#e8eef4;
--inner:#c9d9e8;--fourth:#7a3fa0}
@media (prefers-color-scheme:dark){:root{--bg:#12181e;--ink:#e3eaf0;
--soft:#9fb0bf;--line:#2c3843;--first:#6fb6f2;--second:#f0a04b;--third:#6ccf93;--alarm:#ff7b70;--band:#1e2a35;--inner:#2b4054;--fourth:#c792ea}}
body{background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;overflow-wrap:break-word}
h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:1.5rem 0 .3rem}p{margin:.3rem 0}.soft{color:var(--soft)}
table{border-collapse:collapse;font-size:.9rem;width:100%}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.best{font-weight:700}td.quiet{color:var(--soft)}
.wide{overflow-x:auto}.wide td:first-child,.wide th:first-child{position:sticky;left:0;background:var(--bg)}
.small table{font-size:.75rem}.small th,.small td{padding:.2rem .35rem}.small td{white-space:nowrap}
figure{margin:0;overflow-x:auto}svg{width:100%;height:auto;min-width:44rem}ul{margin:.3rem 0;padding-left:1.2rem}dt{font-weight:600}dd{margin:0 0 .4rem}
.bad{color:var(--alarm);font-weight:600}
svg [fill='#FFFFFF']{fill:var(--bg)}
svg [fill='#010101']{fill:var(--ink)}svg [stroke='#010101']{stroke:var(--ink)}
svg [fill='#020202']{fill:var(--line)}svg [stroke='#020202']{stroke:var(--line)}
svg [fill='#030303']{fill:var(--first)}svg [stroke='#030303']{stroke:var(--first)}
svg [fill='#040404']{fill:var(--second)}svg [stroke='#040404']{stroke:var(--second)}
svg [fill='#050505']{fill:var(--alarm)}svg [stroke='#050505']{stroke:var(--alarm)}
svg [fill='#060606']{fill:var(--band)}svg [stroke='#060606']{stroke:var(--band)}
svg [fill='#070707']{fill:var(--third)}svg [stroke='#070707']{stroke:var(--third)}
svg [fill='#080808']{fill:var(--inner)}svg [stroke='#080808']{stroke:var(--inner)}
svg [fill='#090909']{fill:var(--fourth)}svg [stroke='#090909']{stroke:var(--fourth)}
@media print{body{margin:0;max-width:none}h2,h3{break-after:avoid}figure,table{break-inside:avoid}svg{min-width:0}}
";

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
    text: String,
}

impl Page {
    /// Begins a page: a heading and a line under it.
    pub(crate) fn new(heading: &str, under: &str) -> Self {
        let (heading, under) = (escape(heading), escape(under));
        Self {
            text: format!(
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
        self.push(format_args!("<h2>{}</h2>", escape(heading)));
    }

    /// A heading within a section.
    pub(crate) fn part(&mut self, heading: &str) {
        self.push(format_args!("<h3>{}</h3>", escape(heading)));
    }

    /// A paragraph.
    pub(crate) fn say(&mut self, text: &str) {
        self.push(format_args!("<p>{}</p>", escape(text)));
    }

    /// A remark in a softer colour.
    pub(crate) fn note(&mut self, text: &str) {
        self.push(format_args!("<p class=soft>{}</p>", escape(text)));
    }

    /// Sentences a line each; a broken promise stands out.
    pub(crate) fn sentences<'a>(&mut self, sentences: impl IntoIterator<Item = &'a String>) {
        for sentence in sentences {
            let class = if sentence.starts_with("PROMISE") { " class=bad" } else { "" };
            self.push(format_args!("<p{class}>{}</p>", escape(sentence)));
        }
    }

    /// A plot with its caption; `svg` is taken as it is.
    pub(crate) fn figure(&mut self, svg: &str, caption: &str) {
        self.push(format_args!("<figure>{svg}<figcaption class=soft>{}</figcaption></figure>", escape(caption)));
    }

    /// A table; a column is aligned as its first row is.
    pub(crate) fn table(&mut self, header: &[&str], rows: &[Vec<Cell>]) {
        self.text.push_str("<div class=wide><table><thead><tr>");
        for (i, name) in header.iter().enumerate() {
            let is_number = rows.first().and_then(|r| r.get(i)).is_some_and(|c| c.class.starts_with('n'));
            let class = if is_number { " class=n" } else { "" };
            self.push(format_args!("<th scope=col{class}>{}</th>", escape(name)));
        }
        self.text.push_str("</tr></thead><tbody>");
        for row in rows {
            self.text.push_str("<tr>");
            for cell in row {
                let class = if cell.class.is_empty() { String::new() } else { format!(" class=\"{}\"", cell.class) };
                self.push(format_args!("<td{class}>{}</td>", escape(&cell.text)));
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
        self.table(header, rows);
        self.text.push_str("</details>");
    }

    /// A text as it is written, behind a line to click.
    pub(crate) fn folded_text(&mut self, summary: &str, text: &str) {
        self.push(format_args!("<details><summary>{}</summary><pre>{}</pre></details>", escape(summary), escape(text)));
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
    pub(crate) fn finish(mut self) -> String {
        self.text.push_str("</main></body></html>\n");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
