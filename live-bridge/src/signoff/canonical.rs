//! The one text of a sign-off. A file is taken only as this program would write it, so there is no byte in it that nobody vouches for.

use super::document::{Document, SCHEMA};
use super::refusal::Refusal;
use slacktide_engine::document::{Document as Toml, InputError};

/// Stands above every sign-off; part of what is signed.
const HEAD: &str = "\
# A sign-off: what was simulated is what may go live. It is signed; any edit makes it void.
# measures: [mean, low, high] with the 95 % interval of the mean over the runs. envelope: [low, mean, high] over all runs.

";

/// Largest sign-off, bytes.
pub const BYTES_MAX: usize = 16 << 20;

/// A sign-off whose text is canonical.
#[derive(Debug, Clone, PartialEq)]
pub struct SignOff {
    document: Document,
    /// The document without signers: what is signed.
    body: String,
}

impl SignOff {
    /// A sign-off that nobody has signed yet. Signers in the document are left out.
    ///
    /// # Errors
    /// [`Refusal::NotReadable`] for values that are no numbers.
    pub fn new(mut document: Document) -> Result<Self, Refusal> {
        document.signers.clear();
        let body = written(&document)?;
        if read(&body)? != document {
            return Err(Refusal::NotReadable("it does not read back as it was written".to_owned()));
        }
        Ok(Self { document, body })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Refusal::NotReadable`], and [`Refusal::Edited`] for a text that is not the canonical one. Signatures are not checked.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > BYTES_MAX {
            return Err(Refusal::NotReadable(format!("it has {} bytes, at most {BYTES_MAX}", text.len())));
        }
        let document = read(text)?;
        if document.schema != SCHEMA {
            return Err(Refusal::NotReadable(format!("its schema is `{}`, not `{SCHEMA}`", document.schema)));
        }
        if written(&document)? != text {
            return Err(Refusal::Edited(format!("it is not written as {} writes it", document.program)));
        }
        let body = written(&Document { signers: Vec::new(), ..document.clone() })?;
        Ok(Self { document, body })
    }

    /// The file.
    pub fn text(&self) -> String {
        // It was written once already, in `new` or `parse`; signers are plain text.
        written(&self.document).unwrap_or_default()
    }

    /// What is signed.
    pub(super) fn body(&self) -> &str {
        &self.body
    }

    /// What is in it.
    pub const fn document(&self) -> &Document {
        &self.document
    }

    pub(super) fn add(&mut self, signer: super::Signer) {
        self.document.signers.push(signer);
    }
}

fn written(document: &Document) -> Result<String, Refusal> {
    let text = toml::to_string(document).map_err(|e| Refusal::NotReadable(e.to_string()))?;
    Ok(format!("{HEAD}{text}"))
}

fn read(text: &str) -> Result<Document, Refusal> {
    Toml::read("", text, |document: Document, _| Ok(document)).map_err(|wrong| Refusal::NotReadable(placed(&wrong)))
}

/// What is wrong and where; the file's name is said by whoever read it.
fn placed(wrong: &InputError) -> String {
    let line = wrong.line.map(|line| format!("line {line}: ")).unwrap_or_default();
    let field = if wrong.field.is_empty() { String::new() } else { format!("field `{}`: ", wrong.field) };
    format!("{line}{field}{}", wrong.problem)
}
