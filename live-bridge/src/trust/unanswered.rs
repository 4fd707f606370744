//! What to tell a person whose question got no answer: where it was asked, what happened there, and what to look at next.
//!
//! A controller that refuses a certificate does so after the client believes the handshake done, so all that is known is that the
//! connection ended. Words such as "operation was canceled" help nobody; the usual reasons do.

use crate::causes::joined;
use std::error::Error as _;
use std::io;
use tonic::{Code, Status};

/// The words for a person. What the controller itself said is told as it stands; `cut` says why it may have cut the connection.
pub fn unanswered(controller: &str, status: &Status, cut: &str) -> String {
    if status.source().is_none() {
        return match (status.code(), status.message()) {
            (Code::Unimplemented, _) | (_, "") => format!(
                "{controller} does not answer such questions ({}): is it another of the controller's addresses?",
                status.code().description()
            ),
            (_, message) => message.to_owned(),
        };
    }
    let what = joined(status.message().to_owned(), status);
    match cause(status) {
        Some(io::ErrorKind::ConnectionRefused) => {
            format!(
                "cannot connect to {controller}: {what}; nothing listens there: does the controller run, and is this its port?"
            )
        }
        Some(io::ErrorKind::InvalidData) => {
            format!("{controller} was not believed or did not believe us: {what}; {cut}")
        }
        _ => format!("no answer from {controller}: {what}; {cut}"),
    }
}

/// The operating system's word, or that of TLS, somewhere behind a status.
fn cause(status: &Status) -> Option<io::ErrorKind> {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_words_of_a_controller_are_told_as_they_stand() {
        let refused = Status::failed_precondition("rollout 3 is draft: it cannot pause");
        assert_eq!(unanswered("https://c:1", &refused, "x"), "rollout 3 is draft: it cannot pause");
        let empty = unanswered("https://c:1", &Status::unimplemented(""), "x");
        assert!(empty.starts_with("https://c:1 does not answer such questions"), "{empty}");
    }

    #[test]
    fn a_connection_that_fails_names_its_address() {
        let refused = Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionRefused)));
        assert!(unanswered("https://c:1", &refused, "x").starts_with("cannot connect to https://c:1: "));
        let cut = Status::from_error(Box::new(io::Error::from(io::ErrorKind::BrokenPipe)));
        let said = unanswered("https://c:1", &cut, "perhaps revoked");
        assert!(said.starts_with("no answer from https://c:1: ") && said.ends_with("; perhaps revoked"), "{said}");
    }
}
