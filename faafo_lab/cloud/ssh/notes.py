"""Facts on servers and images that the lab remembers between sessions."""

from __future__ import annotations

from urllib.parse import quote

from faafo_lab.paths import make_home


class Notes:
    """A file of the lab's home with a line "CLOUD:ID WORDS" for each, the cloud's name as in a URL; the last counts."""

    def __init__(self, name: str, cloud: str) -> None:
        self.path = make_home() / name
        self._cloud = quote(cloud)

    def key(self, id: str) -> str:
        """The start of this id's line: "CLOUD:ID"."""
        return f"{self._cloud}:{id}"

    def get(self, id: str) -> str | None:
        """The words on this id, or None."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        found = [line.split(maxsplit=1)[1] for line in lines if line.split(maxsplit=1)[:1] == [self.key(id)]]
        return found[-1] if found else None

    def add(self, id: str, words: str) -> None:
        """Append these words on this id, unless they are the last ones already."""
        if self.get(id) != words.strip():
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{self.key(id)} {words.strip()}\n")
