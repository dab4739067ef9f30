//! Servers in a few lines of shell.

/// Reads messages line by line, each as `$line` with its `$id`, and does what the first fitting of the cases says.
macro_rules! server {
    ($cases:literal) => {
        concat!(
            "while read -r line; do\n",
            "id=${line#*\\\"id\\\":}; id=${id%%[,\\}]*}\n",
            "case \"$line\" in\n",
            $cases,
            "\nesac\ndone\n"
        )
    };
}
pub(crate) use server;

/// Takes two requests, then does the same for the second and for the first, each as `$line` with its `$id` and the `who` of its params.
macro_rules! second_before_first {
    ($each:literal) => {
        concat!(
            "read -r first; read -r second\n",
            "for line in \"$second\" \"$first\"; do\n",
            "id=${line#*\\\"id\\\":}; id=${id%%[,\\}]*}\n",
            "who=${line#*\\\"who\\\":}; who=${who%%[,\\}]*}\n",
            $each,
            "\ndone\ncat >/dev/null\n"
        )
    };
}
pub(crate) use second_before_first;
