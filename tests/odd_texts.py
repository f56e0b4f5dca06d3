"""Texts that break programs, by what is odd about them; none is blank."""

ODD = {
    "one letter": "a",
    "one megabyte": "good film " * 100_000,
    "one long word": "x" * 1_000_000,
    "right to left": "فيلم رائع جدا",
    "turned by marks": "good \u202eevil\u202c film \u2066x\u2069",
    "combining marks": "z" + "\u0301" * 300,
    "emoji": "👩‍👩‍👧‍👦 👍🏽 🇬🇱",
    "NUL": "good\0film",
    "half a character": "good \ud83d film",
    "line ends": "good\r\nfilm\rin\nlines\u2028and\u2029paragraphs\x85",
    "a mark of byte order": "\ufeffgood film",
    "terminal": "\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07 \x9b2J \x07\x08",
    "html": "<script>alert(1)</script> & \"quotes' <!-- --> &amp; {{ x }} {% y %}",
    "markdown": "| a | *b* | `c` | [d](javascript:1) | ![e](f) | # g | \\",
    "formula": "=cmd|' /C calc'!A0",
    "quotes": '"," ""a"" \'b\'',
    "private use": "\ue000\uffff\U0010ffff",
}
# What must not reach a terminal or a page.
ACTING = "\x1b\x9b\x07\x08\0\u202e\u2066"
