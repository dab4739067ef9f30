//! Pictures of a result, on terminals that show them and on those that do not: the test is the terminal.

use crate::support::scripts::server;
use crate::support::terminal::{Caller, Terminal};

/// A server whose tools give a picture of one pixel.
const SERVER: &str = server!(
    r#"*'"initialize"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}';;
*tools/call*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"content":[{"type":"image","mimeType":"image/png","data":"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}]}}';;"#
);

/// One whose tools give a WebP of eight pixels square.
const WEBP_SERVER: &str = server!(
    r#"*'"initialize"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}';;
*tools/call*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"content":[{"type":"image","mimeType":"image/webp","data":"UklGRh4AAABXRUJQVlA4TBIAAAAvB8ABAA8Q87//8x8O+hDR/wA="}]}}';;"#
);

/// A tapline whose terminal has answered so before it was asked, with the reply in its side Content.
async fn shown(answers: &str) -> Terminal {
    shown_from(SERVER, answers, "[image image/png, 1x1, 70B]").await
}

async fn shown_from(server: &str, answers: &str, words: &str) -> Terminal {
    let mut terminal = Terminal::start(&["run", "--listen", "127.0.0.1:0", "--no-record", "--", "sh", "-c", server]);
    terminal.press(answers);
    let client = Caller::connect(terminal.url()).await;
    assert_eq!(client.forecast("Lisbon").await["result"]["content"][0]["type"], "image");
    terminal.wait_for("1 image");
    terminal.press("G\rl");
    terminal.wait_for(words);
    terminal
}

#[tokio::test(flavor = "multi_thread")]
async fn kitty_picture_is_drawn_once_and_taken_away() {
    let mut terminal = shown("\x1b_Gi=31;OK\x1b\\\x1b[6;20;10t\x1b[?62;c").await;
    terminal.wait_written("\x1b_Ga=T,f=100,i=1,p=1,c=1,r=1,C=1,q=2,m=0;iVBORw0KGgo", 1);
    // Over it and back: it is not under the help.
    terminal.press("?");
    terminal.wait_written("\x1b_Ga=d,d=I,i=1,q=2\x1b\\", 1);
    terminal.press("\x1b");
    terminal.wait_written("\x1b_Ga=T,f=100,i=2,", 1);
    terminal.press("l");
    terminal.wait_written("\x1b_Ga=d,d=I,i=2,q=2\x1b\\", 1);
    terminal.wait_for("[Text]");
    assert_eq!(terminal.times_written("a=T"), 2, "once each time it came into sight");
    terminal.press("hQ");
    terminal.wait_written("\x1b_Ga=d,d=A,q=2\x1b\\", 1);
    terminal.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn iterm_picture_is_drawn_by_its_own_protocol() {
    let mut terminal = shown("\x1bP>|iTerm2 3.5.0\x1b\\\x1b[?62;4c").await;
    let file = "\x1b]1337;File=inline=1;size=70;width=1;height=1;preserveAspectRatio=1:iVBORw0KGgo";
    terminal.wait_written(file, 1);
    terminal.press("l");
    terminal.wait_for("[Text]");
    assert_eq!((terminal.times_written("1337;File"), terminal.times_written("_Ga=")), (1, 0));
    terminal.press("Q");
    terminal.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn kitty_gets_the_pixels_of_a_picture_that_is_no_png() {
    let answers = "\x1b_Gi=31;OK\x1b\\\x1b[6;20;10t\x1b[?62;c";
    let mut terminal = shown_from(WEBP_SERVER, answers, "[image image/webp, 8x8, 38B]").await;
    terminal.wait_written("\x1b_Ga=T,f=32,o=z,s=8,v=8,i=1,p=1,c=1,r=1,C=1,q=2,m=0;", 1);
    terminal.press("l");
    terminal.wait_written("\x1b_Ga=d,d=I,i=1,q=2\x1b\\", 1);
    terminal.press("Q");
    terminal.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixel_picture_is_drawn_where_the_terminal_has_no_other_way() {
    let mut terminal = shown("\x1b[6;20;10t\x1b[?62;4;22c").await;
    terminal.wait_written("\x1bP0;1;0q\"1;1;1;1", 1);
    terminal.press("l");
    terminal.wait_for("[Text]");
    terminal.press("h");
    terminal.wait_written("\x1bP0;1;0q\"1;1;1;1", 2);
    terminal.press("Q");
    terminal.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn terminal_without_pictures_gets_the_description() {
    let mut terminal = shown("\x1b[?62;c").await;
    terminal.press("ti");
    terminal.wait_for("they are described");
    assert_eq!((terminal.times_written("1337;File"), terminal.times_written("\x1b_Ga=T")), (0, 0));
    terminal.press("Q");
    terminal.ends_with(0);
}
