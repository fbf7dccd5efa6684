"""What a path of the fake kernel leads to: files that call functions, links, and the directories around them."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .texts import kernel_error

_MOST_LINKS = 40
"""Most symbolic links that the kernel follows on one path (path_resolution(7))."""


@dataclass(eq=False)
class File:
    """A file of sysfs: two functions and who may call them.

    Attributes:
        show: returns the content; None if nobody can read it.
        store: takes what is written; None if nobody can write it.
        mode: permission bits. A user who is not root is neither owner nor stranger: `0o664` is "given to your group".
        alive: False once the device is removed: files that are still open then answer ENODEV.
    """

    show: Callable[[], str | bytes] | None
    store: Callable[[bytes], None] | None
    mode: int
    alive: bool = True

    def permits(self, *, writing: bool, root: bool) -> bool:
        """Return True if `open` lets this user in."""
        # Of sysfs root, too, gets in only where somebody may do that at all (fs/kernfs/file.c: kernfs_fop_open).
        if (self.store if writing else self.show) is None:
            return False
        return bool(self.mode & ((0o222 if root else 0o022) if writing else (0o444 if root else 0o044)))


@dataclass(eq=False)
class Link:
    """A symbolic link.

    Attributes:
        target: where it leads, from the root of the tree, without a leading slash.
    """

    target: str


@dataclass(eq=False)
class Directory:
    """A directory.

    Attributes:
        children: what is in it, by name.
    """

    children: dict[str, Node] = field(default_factory=dict)


Node = File | Link | Directory


class Nodes:
    """The tree of nodes. Paths have no leading slash."""

    def __init__(self) -> None:
        self._root = Directory()

    def put(self, path: str, node: Node) -> None:
        """Put a node there, and the directories that lead to it; what was there of that name is gone."""
        directory = self._root
        *parents, name = self.real(path, last=False).split("/")
        for parent in parents:
            below = directory.children.setdefault(parent, Directory())
            assert isinstance(below, Directory), f"{path}: {parent} is no directory"
            directory = below
        self._end(directory.children.get(name))
        directory.children[name] = node

    def take(self, path: str) -> Node:
        """Remove a node with all below it, and return it; open files of it are dead.

        Raises:
            FileNotFoundError: if it is not there.
        """
        parent, _, name = self.real(path, last=False).rpartition("/")
        directory = self.at(parent)
        assert isinstance(directory, Directory)
        if name not in directory.children:
            raise kernel_error(errno.ENOENT, path)
        node = directory.children.pop(name)
        self._end(node)
        return node

    def at(self, path: str) -> Node:
        """Return the node that a path leads to, through links.

        Raises:
            OSError: if it leads nowhere.
        """
        return self._walk(path, last=True)[1]

    def real(self, path: str, *, last: bool = True) -> str:
        """Return a path without links; what is not there stays as it is written.

        Args:
            path: the path.
            last: False to leave its last part as it is, even if that is a link.
        """
        try:
            return self._walk(path, last=last)[0]
        except OSError:
            parent, slash, name = path.rpartition("/")
            return f"{self.real(parent)}{slash}{name}" if slash else path

    def files(self, path: str = "") -> Iterator[tuple[str, File | Link]]:
        """Yield every file and link below a directory, by its path, in the order of their names; links unfollowed."""
        node = self.at(path) if path else self._root
        yield from self._below(path, node)

    def _below(self, path: str, node: Node) -> Iterator[tuple[str, File | Link]]:
        if isinstance(node, Directory):
            for name in sorted(node.children):
                yield from self._below(f"{path}/{name}".lstrip("/"), node.children[name])
        else:
            yield path, node

    def _walk(self, path: str, *, last: bool) -> tuple[str, Node]:
        node: Node = self._root
        seen: list[str] = []
        ahead = [part for part in path.split("/") if part]
        links = 0
        while ahead:
            part = ahead.pop(0)
            if not isinstance(node, Directory):
                raise kernel_error(errno.ENOTDIR, path)
            if part not in node.children:
                raise kernel_error(errno.ENOENT, path)
            child = node.children[part]
            if isinstance(child, Link) and (ahead or last):
                links += 1
                if links > _MOST_LINKS:
                    raise kernel_error(errno.ELOOP, path)
                node, seen, ahead = self._root, [], [*child.target.split("/"), *ahead]
            else:
                node = child
                seen.append(part)
        return "/".join(seen), node

    def _end(self, node: Node | None) -> None:
        if isinstance(node, File):
            node.alive = False
        elif isinstance(node, Directory):
            for child in node.children.values():
                self._end(child)


def reborn(node: Node) -> Node:
    """Return a node like this one, of a device that was added again: what was open of the old one stays dead."""
    if isinstance(node, File):
        return File(node.show, node.store, node.mode)
    if isinstance(node, Link):
        return Link(node.target)
    return Directory({name: reborn(child) for name, child in node.children.items()})
