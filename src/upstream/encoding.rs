//! Bodies that a server compressed, made readable: where tapline is the client, not where it passes an answer on.
//!
//! Each piece comes out as soon as the server has flushed it, so that the events of a stream are not kept back.

use async_compression::tokio::bufread::{BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio_util::io::{ReaderStream, StreamReader};

use super::site::ResponseBody;

/// How a body may be compressed (RFC 9110 §8.4.1, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContentCoding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

type CompressedReader = Box<dyn AsyncBufRead + Send + Unpin>;

/// An answer with its body as it was before it was compressed. One in an unknown coding stays as it is.
pub(super) fn decoded(response: Response<ResponseBody>) -> Response<ResponseBody> {
    let Some(codings) = codings(response.headers()).filter(|codings| !codings.is_empty()) else { return response };
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_ENCODING);
    parts.headers.remove(CONTENT_LENGTH);
    let compressed = StreamReader::new(body.into_data_stream().map_err(std::io::Error::other));
    let pieces = decode(Box::new(compressed), codings).try_flatten_stream();
    let body = StreamBody::new(pieces.map_ok(Frame::data).map_err(Into::into));
    Response::from_parts(parts, body.boxed_unsync())
}

/// The codings in the order in which they were applied; `None` where one of them is unknown.
fn codings(headers: &HeaderMap) -> Option<Vec<ContentCoding>> {
    let values = headers.get_all(CONTENT_ENCODING).iter().map(|value| value.to_str().unwrap_or("?"));
    let names = values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase());
    let coding = |name: String| match &*name {
        "gzip" | "x-gzip" => Some(ContentCoding::Gzip),
        "deflate" => Some(ContentCoding::Deflate),
        "br" => Some(ContentCoding::Brotli),
        "zstd" => Some(ContentCoding::Zstd),
        _ => None,
    };
    names.filter(|name| !name.is_empty() && name != "identity").map(coding).collect()
}

async fn decode(
    mut reader: CompressedReader,
    codings: Vec<ContentCoding>,
) -> std::io::Result<BoxStream<'static, std::io::Result<Bytes>>> {
    for coding in codings.into_iter().rev() {
        // What has no body has nothing to decode, and no decoder takes it.
        let Some(first) = reader.fill_buf().await?.first().copied() else {
            return Ok(futures_util::stream::empty().boxed());
        };
        reader = decoder(coding, first, reader);
    }
    Ok(ReaderStream::new(reader).boxed())
}

/// `first`: the first byte that is compressed.
fn decoder(coding: ContentCoding, first: u8, reader: CompressedReader) -> CompressedReader {
    match coding {
        ContentCoding::Gzip => {
            let mut gzip = GzipDecoder::new(reader);
            gzip.multiple_members(true);
            buffered(gzip)
        }
        // The name means zlib's format; some servers leave its frame out, as browsers take that, too.
        ContentCoding::Deflate if first & 0x0f == 8 && first >> 4 <= 7 => buffered(ZlibDecoder::new(reader)),
        ContentCoding::Deflate => buffered(DeflateDecoder::new(reader)),
        ContentCoding::Brotli => buffered(BrotliDecoder::new(reader)),
        ContentCoding::Zstd => {
            let mut zstd = ZstdDecoder::new(reader);
            zstd.multiple_members(true);
            buffered(zstd)
        }
    }
}

fn buffered(reader: impl AsyncRead + Send + Unpin + 'static) -> CompressedReader {
    Box::new(BufReader::new(reader))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn codings_are_read_in_order_and_unknown_ones_told_apart() {
        for (values, expected) in [
            (&[][..], Some(vec![])),
            (&["identity"], Some(vec![])),
            (&["GZIP"], Some(vec![ContentCoding::Gzip])),
            (&["deflate, br", "zstd"], Some(vec![ContentCoding::Deflate, ContentCoding::Brotli, ContentCoding::Zstd])),
            (&["x-gzip ,identity"], Some(vec![ContentCoding::Gzip])),
            (&["gzip, compress"], None),
            (&["aws-chunked"], None),
        ] {
            let values = values.iter().map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value)));
            let mut headers = HeaderMap::new();
            for (name, value) in values {
                headers.append(name, value);
            }
            assert_eq!(codings(&headers), expected, "{headers:?}");
        }
    }
}
