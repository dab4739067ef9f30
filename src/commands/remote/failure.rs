//! What a store says of a failure, in one line.
//!
//! The crate's own text carries what the store answered, a document of XML with ids of requests, and stands in each link of the chain of
//! causes: four times the same. Here it is said once, with what can be done about it.

use super::place::StorePlace;

/// What an answer says that names no upload or block that the store has (S3 and GCS, Azure): it has given the upload up.
const GIVEN_UP: [&str; 3] = ["NoSuchUpload", "InvalidPart", "InvalidBlockList"];
/// As much is shown of an answer that is in no form that is known.
const MOST: usize = 200;

/// Puts a failure of the store into one line; others stay as they are.
pub(super) fn told(error: anyhow::Error, place: &StorePlace) -> anyhow::Error {
    match error.downcast_ref::<object_store::Error>() {
        Some(failed) => anyhow::anyhow!(line(failed, place)),
        None => error,
    }
}

/// Whether the store knows the upload no more that was to be gone on with.
pub(super) fn is_given_up(error: &anyhow::Error) -> bool {
    let Some(failed) = error.downcast_ref::<object_store::Error>() else { return false };
    matches!(failed, object_store::Error::NotFound { .. })
        || GIVEN_UP.iter().any(|code| answer(&failed.to_string()).is_some_and(|answer| answer.code == Some(*code)))
}

fn line(failed: &object_store::Error, place: &StorePlace) -> String {
    let text = failed.to_string();
    let Some(answer) = answer(&text) else {
        let mut cause: &dyn std::error::Error = failed;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let server = asked(&text).map(|server| format!("{server}: ")).unwrap_or_default();
        return format!("{server}{cause}");
    };
    let said = [answer.code, answer.message].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let said = if said.is_empty() { answer.status.to_owned() } else { format!("{}, {said}", answer.status) };
    let bucket = place.url.host_str().unwrap_or_default();
    match (answer.code, answer.status.get(..3)) {
        (Some("NoSuchBucket"), _) => format!("{said}; make the bucket `{bucket}` first"),
        (Some("ContainerNotFound"), _) => format!("{said}; make the container `{bucket}` first"),
        (_, Some("401" | "403")) => match variables(place.url.scheme()) {
            Some(names) => format!("{said}; credentials come from {names}"),
            None => said,
        },
        _ => said,
    }
}

/// What a store answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer<'a> {
    status: &'a str,
    code: Option<&'a str>,
    message: Option<&'a str>,
}

fn answer(text: &str) -> Option<Answer<'_>> {
    let (_, said) = text.split_once("status code: ")?;
    let (status, body) = said.split_once(": ").unwrap_or((said, ""));
    let first_line = |text: &'static str| element(body, text).and_then(|text| text.lines().next()).map(str::trim);
    match first_line("Code") {
        Some(code) => Some(Answer { status, code: Some(code), message: first_line("Message") }),
        None => {
            let line = body.lines().next().unwrap_or_default().trim();
            let line = line.char_indices().nth(MOST).map_or(line, |(end, _)| &line[..end]);
            Some(Answer { status, code: None, message: Some(line).filter(|line| !line.is_empty()) })
        }
    }
}

fn element<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

/// The server that a request went to, of a text that tells of the request.
fn asked(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("Error performing ")?;
    let url = rest.split(' ').find(|word| word.starts_with("http"))?;
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split('/').next()?;
    url.get(..scheme.len() + "://".len() + host.len())
}

/// Where credentials come from.
fn variables(scheme: &str) -> Option<&'static str> {
    match scheme {
        "s3" => Some("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        "gs" => Some("GOOGLE_APPLICATION_CREDENTIALS"),
        "az" => Some("AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> StorePlace {
        StorePlace::of(url).unwrap()
    }

    fn failed(said: &str) -> anyhow::Error {
        let source = format!("Error performing GET http://127.0.0.1:1/c/x?restype=container in 8.6ms - {said}");
        anyhow::Error::new(object_store::Error::Generic { store: "a", source: source.into() })
    }

    #[test]
    fn answer_of_a_store_is_told_in_one_line() {
        let answered = "Server returned non-2xx status code: 404 Not Found: <?xml version=\"1.0\"?>\n<Error>\n  \
                        <Code>NoSuchBucket</Code>\n  <Message>There is none.\n  RequestId:1</Message></Error>";
        let error = told(failed(answered), &place("http://127.0.0.1/a/"));
        assert_eq!(
            format!("{error:#}"),
            "404 Not Found, NoSuchBucket: There is none.; make the bucket `127.0.0.1` first"
        );
    }

    #[test]
    fn refusal_of_a_store_says_where_credentials_come_from() {
        let mut place = place("http://tapes/a/");
        place.url = "gs://tapes/a/".parse().unwrap();
        let error = told(failed("Server returned non-2xx status code: 401 Unauthorized: "), &place);
        assert_eq!(format!("{error:#}"), "401 Unauthorized; credentials come from GOOGLE_APPLICATION_CREDENTIALS");
    }

    #[test]
    fn credentials_of_a_url_are_not_shown() {
        let place = place("http://someone:letmein@tapes.example:8080/a/b.tape.jsonl?signature=letmein#letmein");
        assert_eq!(place.shown(&place.path), "http://tapes.example:8080/a/b.tape.jsonl");
        let below = object_store::path::Path::from("a/b.tape.jsonl/c");
        assert_eq!(place.shown(&below), "http://tapes.example:8080/a/b.tape.jsonl/c");
    }

    #[test]
    fn store_that_does_not_answer_is_told_by_its_last_cause() {
        let error = told(failed("HTTP error: refused"), &place("http://127.0.0.1/a/"));
        assert_eq!(
            format!("{error:#}"),
            "http://127.0.0.1:1: Error performing GET http://127.0.0.1:1/c/x?restype=container in 8.6ms - HTTP error: refused"
        );
        assert_eq!(told(anyhow::anyhow!("other"), &place("http://127.0.0.1/a/")).to_string(), "other");
    }

    #[test]
    fn upload_is_given_up_where_the_store_knows_it_no_more() {
        let answered =
            |status: &str, code: &str| failed(&format!("status code: {status}: <Error><Code>{code}</Code></Error>"));
        assert!(is_given_up(&answered("400 Bad Request", "InvalidBlockList")));
        assert!(is_given_up(&answered("400 Bad Request", "InvalidPart")));
        assert!(!is_given_up(&answered("503 Service Unavailable", "SlowDown")));
        assert!(!is_given_up(&anyhow::anyhow!("InvalidPart")));
    }
}
