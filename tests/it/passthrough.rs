//! Everything beside MCP that a server has at its origin passes as it is.

use tapline::event::Level;

use crate::support::{Rig, Server};

#[tokio::test]
async fn other_paths_pass_to_the_origin_unchanged() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    for start in [
        "GET /.well-known/oauth-protected-resource/mcp",
        "GET /.well-known/oauth-authorization-server?x=%20+%2B&&y=a=b",
        "POST /token",
        "PUT /a%2Fb/%E2%82%AC",
        "DELETE //double//slash",
        "PROPFIND /",
        "OPTIONS /register",
    ] {
        let body: &[u8] = if start.starts_with('P') { b"code=1&x=\xff" } else { b"" };
        let head = format!(
            "x-mine: 1\r\nconnection: x-hop\r\nx-hop: 1\r\ncookie: a=b\r\naccept-encoding: gzip\r\ncontent-length: {}\r\n",
            body.len()
        );
        client.request(start, &head, body).await;
        let exchange = server.next().await;
        assert_eq!((exchange.head.start.as_str(), &exchange.body[..]), (&*format!("{start} HTTP/1.1"), body));
        assert_eq!(exchange.head.all("host"), [server.address().to_string()]);
        for (name, value) in
            [("x-mine", Some("1")), ("x-hop", None), ("cookie", Some("a=b")), ("accept-encoding", Some("gzip"))]
        {
            assert_eq!(exchange.head.get(name), value, "{start} {name}");
        }
        assert_eq!(exchange.head.all("transfer-encoding"), Vec::<&str>::new(), "a length that is known stays known");
        let answer = "HTTP/1.1 418 Teapot\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\nkeep-alive: 5\r\n\r\n\x1f\x01\x02";
        exchange.answer(answer).await;
        let response = client.response().await;
        assert_eq!((response.status(), &response.body[..]), ("418", &b"\x1f\x01\x02"[..]));
        assert_eq!(response.head.all("set-cookie"), ["a=1", "b=2"]);
        assert_eq!((response.head.get("content-encoding"), response.head.get("keep-alive")), (Some("gzip"), None));
        rig.line(Level::Debug, &format!("relayed {}", start.split('?').next().unwrap())).await;
    }
    let recorded =
        rig.until("nothing", |log| Some(log.iter().any(|it| matches!(it, tapline::event::Event::SessionOpened(_)))));
    assert!(!recorded.await, "it is no session");
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    client.request("GET /events", "", b"").await;
    let mut exchange = server.next().await;
    exchange.write("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
    client.head().await;
    for piece in ["one", "two"] {
        exchange.write(piece).await;
        assert_eq!(client.bytes(3).await, piece.as_bytes());
    }
    drop(client);
    exchange.hung_up().await;

    // The other way: the server answers to half of a body, and gets the rest.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = Rig::before(&format!("http://{}/mcp", listener.local_addr().unwrap())).await;
    let mut client = rig.client().await;
    client.request("POST /upload", "transfer-encoding: chunked\r\n", b"4\r\nhalf\r\n").await;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (mut stream, _) = crate::support::soon("a connection", listener.accept()).await.unwrap();
    let mut got = Vec::new();
    let half = async {
        while !got.ends_with(b"4\r\nhalf\r\n") {
            stream.read_buf(&mut got).await.unwrap();
        }
    };
    crate::support::soon("half a body", half).await;
    client.write(b"4\r\nrest\r\n0\r\n\r\n").await;
    let rest = async {
        while !got.ends_with(b"4\r\nrest\r\n0\r\n\r\n") {
            stream.read_buf(&mut got).await.unwrap();
        }
    };
    crate::support::soon("the rest of a body", rest).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert_eq!(client.response().await.status(), "200");
}

#[tokio::test]
async fn redirects_to_the_server_lead_to_tapline() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    let (theirs, ours) = (format!("http://{}", server.address()), format!("http://{}", rig.address()));
    for (location, expected) in [
        (format!("{theirs}/login?x=%20&y=1#z"), format!("{ours}/login?x=%20&y=1#z")),
        (format!("//{}/x", server.address()), format!("{ours}/x")),
        (theirs.clone(), format!("{ours}/")),
        ("/relative?x".to_owned(), "/relative?x".to_owned()),
        ("https://elsewhere.example/cb?code=1".to_owned(), "https://elsewhere.example/cb?code=1".to_owned()),
        ("myapp://callback".to_owned(), "myapp://callback".to_owned()),
    ] {
        for start in ["GET /authorize", "GET /mcp", "OPTIONS /mcp"] {
            client.request(start, "accept: text/event-stream\r\n", b"").await;
            let answer = format!("HTTP/1.1 307 Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            server.next().await.answer(answer).await;
            let response = client.response().await;
            assert_eq!((response.status(), response.head.all("location")), ("307", vec![&*expected]), "{start}");
        }
    }
    assert!(server.is_idle(), "we follow none");
}

#[tokio::test]
async fn endpoint_takes_any_query_and_method() {
    let mut server = Server::start().await;
    let rig = Rig::before(&format!("http://{}/deep/mcp?key=1", server.address())).await;
    let mut client = rig.client().await;
    for (start, expected) in [
        ("GET /mcp", "GET /deep/mcp?key=1"),
        ("GET /mcp?x=%20+1&y", "GET /deep/mcp?key=1&x=%20+1&y"),
        ("GET /mcp/", "GET /deep/mcp/?key=1"),
        ("OPTIONS /mcp", "OPTIONS /deep/mcp?key=1"),
        ("PUT /mcp?x", "PUT /deep/mcp?key=1&x"),
        // Who has put our address in place of the server's, and no more, is not relayed unseen.
        ("GET /deep/mcp", "GET /deep/mcp?key=1"),
    ] {
        client.request(start, "origin: http://localhost:5173\r\naccess-control-request-method: POST\r\n", b"").await;
        let exchange = server.next().await;
        assert_eq!(exchange.head.start, format!("{expected} HTTP/1.1"));
        assert_eq!(exchange.head.get("origin"), Some("http://localhost:5173"));
        exchange.answer("HTTP/1.1 204 Fine\r\naccess-control-allow-origin: *\r\n\r\n").await;
        let response = client.response().await;
        assert_eq!((response.status(), response.head.get("access-control-allow-origin")), ("204", Some("*")));
    }
    client.request("HEAD /mcp", "", b"").await;
    let exchange = server.next().await;
    assert_eq!(exchange.head.start, "HEAD /deep/mcp?key=1 HTTP/1.1");
    exchange.answer("HTTP/1.1 405 No\r\nallow: POST\r\ncontent-length: 9\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!((head.second_word(), head.get("allow"), head.get("content-length")), ("405", Some("POST"), Some("9")));
    rig.session(1).await;
}

#[tokio::test]
async fn command_upstream_has_no_other_paths() {
    let rig = Rig::script("cat").await;
    let mut client = rig.client().await;
    for (start, status) in
        [("GET /.well-known/x", "404"), ("GET /", "404"), ("OPTIONS /mcp", "405"), ("PUT /sse", "405")]
    {
        client.request(start, "", b"").await;
        let response = client.response().await;
        assert_eq!(response.status(), status, "{start}");
        assert!(status == "405" || response.text().contains("`/mcp`, or `/sse`"), "{}", response.text());
    }
}

#[tokio::test]
async fn websocket_upgrade_is_501() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    client.request("GET /ws", "connection: upgrade\r\nupgrade: WebSocket\r\n", b"").await;
    let response = client.response().await;
    assert_eq!(response.status(), "501");
    assert!(response.text().contains("does not relay websockets"), "{}", response.text());
    client.request("GET /token", "origin: https://evil.example\r\n", b"").await;
    assert_eq!(client.response().await.status(), "403");
    assert!(server.is_idle());
    drop(server);
}

#[tokio::test]
async fn auth_challenge_is_reported_once() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    let challenge =
        format!("Bearer resource_metadata=\"http://{}/.well-known/oauth-protected-resource\"", server.address());
    for start in ["GET /mcp", "GET /mcp", "GET /x"] {
        client.request(start, "", b"").await;
        let answer = format!("HTTP/1.1 401 Who\r\nwww-authenticate: {challenge}\r\ncontent-length: 0\r\n\r\n");
        server.next().await.answer(answer).await;
        let response = client.response().await;
        assert_eq!((response.status(), response.head.all("www-authenticate")), ("401", vec![&*challenge]));
    }
    rig.line(Level::Warn, "--header").await;
    assert_eq!(rig.complaints().len(), 1);
}
