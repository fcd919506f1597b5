"""Links of strangers: which of them may stand on a page."""

import re

LONGEST = 500
# A label of a host's name. Names that begin with "xn--" stand for letters outside ASCII, which can look like another host's.
_LABEL = r"(?!xn--)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# No user or password before the host, no port, no backslash, no escaped control character: readers and browsers take them apart
# in different ways, so the host that is read need not be the host that is opened.
_LINK = re.compile(
    rf"https://({_LABEL}\.)+[a-z]{{2,63}}([/?#]([A-Za-z0-9._~!$&'()*+,;=:@/?#-]|%(?!5C|7F|[01])[0-9A-F]{{2}})*)?",
    re.IGNORECASE | re.ASCII,
)


def link_problem(link: str) -> str | None:
    """Why a link may not be shown, and what to do; None if it may be.

    A link is "https://", a host of at least two names in ASCII, and a path of the characters of RFC 3986.
    """
    if len(link) > LONGEST:
        return f"has more than {LONGEST} characters: shorten it"
    if not link.startswith("https://"):
        return "is not an https:// address: correct it, or leave it empty"
    if not _LINK.fullmatch(link):
        return "is not a plain https:// address, with a host in ASCII and without user, port and backslash: correct it"
    return None
