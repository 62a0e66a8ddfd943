"""How the lab's tables look on a page: where there is no room, the table scrolls sideways and not the page."""


def scrolling(rows: str, head: str = "") -> str:
    """A table (HTML) of these rows (`<tr>…`), under those of the head; it scrolls by keyboard, too."""
    top = f"<thead>{head}</thead>" if head else ""
    return f'<div tabindex="0" style="overflow-x:auto"><table>{top}<tbody>{rows}</tbody></table></div>'
