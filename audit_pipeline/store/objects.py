"""One interface to a local folder and to S3, for whole objects. It wraps ``obstore``."""

import errno
import hashlib
import io
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    NotFoundError,
    PreconditionError,
)
from obstore.store import LocalStore, S3Store

from audit_pipeline.errors import RawChangedError, SettingsError, StoreError
from audit_pipeline.store.listing import Listing, ObjectInfo, files_under, list_bucket, list_folder
from audit_pipeline.store.s3 import in_one_line, open_s3

__all__ = ["Listing", "ObjectInfo", "Store", "open_store"]

#: Requests in flight while a day's objects are read; a day at a low event rate is 1,440 small objects.
_READ_CONCURRENCY: Final = 32
#: Bytes read ahead of the caller, at most: a slow caller must not fill the memory.
_READ_AHEAD_BYTES: Final = 16 << 20

#: Errors of a path at which there is nothing, and of one at which there cannot be anything.
_NO_SUCH_PATH: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP})

#: The folder of a local lake in which files are written before they are renamed into place.
_STAGING: Final = "auditlog_staging"


@dataclass(frozen=True)
class Store:
    """The objects under one URL.

    An object appears whole or not at all: S3 guarantees that, a local file is written elsewhere and renamed.
    """

    url: str
    _inner: LocalStore | S3Store = field(repr=False)
    #: Folder of the local store, None for S3.
    root: Path | None

    def url_of(self, key: str) -> str:
        return f"{self.url}/{key}"

    def list(self, prefix: str = "") -> list[ObjectInfo]:
        """All objects under ``prefix`` (whole path segments), in the order of their keys' code points."""
        return self.survey(prefix).objects

    def survey(self, prefix: str = "", *, is_plain: Callable[[str], bool] = lambda key: True) -> Listing:
        """The same, and the keys that the store cannot address; ``is_plain`` is that of :func:`list_bucket`."""
        try:
            if self.root is not None:
                return list_folder(self._inner, self.root, prefix)
            return list_bucket(self._inner, self.url, prefix, is_plain=is_plain)
        except FileNotFoundError:
            return Listing.of([])
        except BaseError as error:
            raise self._failure("list", prefix, error) from error

    def keys(self, prefix: str) -> Sequence[str]:
        """The keys under ``prefix``, in order: in a folder ten times faster than with their sizes and times."""
        if self.root is not None:
            return sorted(files_under(self.root, prefix))
        return [info.key for info in self.list(prefix)]

    def level(self, prefix: str) -> tuple[Sequence[str], Sequence[str]]:
        """The names of the folders directly under ``prefix``, and the keys of the objects there."""
        try:
            found = obstore.list_with_delimiter(self._inner, prefix)
            # in a bucket, an empty one may be the marker of a folder
            keys = [meta["path"] for meta in found["objects"] if meta["size"] or self.root is not None]
            return [path.rsplit("/", 1)[-1] for path in found["common_prefixes"]], keys
        except FileNotFoundError:
            return [], []
        except InvalidPathError:
            listing = self.survey(prefix)
            keys = [*(info.key for info in listing.objects), *listing.odd_keys]
            folders = {key: key.removeprefix(f"{prefix}/").rpartition("/")[0].split("/", 1)[0] for key in keys}
            return sorted({*folders.values()} - {""}), [key for key in keys if not folders[key]]
        except BaseError as error:
            raise self._failure("list", prefix, error) from error

    def exists(self, key: str) -> bool:
        try:
            self.info(key)
        except RawChangedError:
            return False
        return True

    def info(self, key: str) -> ObjectInfo:
        """What a listing shows of the object; :class:`RawChangedError` where there is none."""
        try:
            meta = obstore.head(self._inner, key)
        except (NotFoundError, FileNotFoundError) as error:
            raise self._changed(key) from error
        except BaseError as error:
            raise self._failure("read", key, error) from error
        return ObjectInfo(key, meta["size"], meta["e_tag"], meta["last_modified"])

    def folders(self, prefix: str) -> Sequence[str]:
        """Names of the folders directly under ``prefix`` in a local store, empty ones too; S3 has none."""
        if self.root is None:
            return []
        with suppress(FileNotFoundError):
            return sorted(entry.name for entry in (self.root / prefix).iterdir() if entry.is_dir())
        return []

    def folds_case(self, keys: Iterable[str]) -> bool:
        """Whether this is a disk on which names that differ in case only are the same, by the first key that exists."""
        if self.root is None:
            return False
        path = next((path for key in keys if (path := self.root / key).exists()), None)
        if path is None:
            return False
        swapped = path.with_name(path.name.swapcase())
        return swapped.exists() and swapped.samefile(path)

    def get(self, key: str, *, if_match: str | None = None) -> bytes:
        """The object's bytes. ``if_match`` is the e_tag of a listing: :class:`RawChangedError` where it has changed."""
        try:
            options: Any = {"if_match": if_match} if if_match else None
            return bytes(obstore.get(self._inner, key, options=options).bytes())
        except (NotFoundError, FileNotFoundError, PreconditionError) as error:
            raise self._changed(key) from error
        except BaseError as error:
            raise self._failure("read", key, error) from error

    def get_if_exists(self, key: str) -> bytes | None:
        try:
            return bytes(obstore.get(self._inner, key).bytes())
        except (NotFoundError, FileNotFoundError):
            return None
        except BaseError as error:
            raise self._failure("read", key, error) from error

    def open(self, info: ObjectInfo) -> io.RawIOBase:
        """The object as a seekable file, for reading parts of it.

        A read raises :class:`RawChangedError` where it is no longer the object that was listed.
        """
        return _RangeReader(self, info)

    def get_range(self, key: str, start: int, length: int, *, if_match: str | None = None) -> bytes:
        options: Any = {"range": (start, start + length)} | ({"if_match": if_match} if if_match else {})
        try:
            return bytes(obstore.get(self._inner, key, options=options).bytes())
        except (NotFoundError, FileNotFoundError, PreconditionError) as error:
            raise self._changed(key) from error
        except BaseError as error:
            raise self._failure("read", key, error) from error

    def get_many(self, objects: Sequence[ObjectInfo]) -> Iterator[tuple[ObjectInfo, bytes]]:
        """The bytes of many objects, in the order given, read concurrently and a bounded amount ahead.

        :class:`RawChangedError` where one is no longer the object that was listed.
        """
        if self.root is not None:  # a disk is faster than a switch of threads
            for info in objects:
                yield info, self.get(info.key, if_match=info.e_tag)
            return
        waiting = deque(objects)
        flying: deque[tuple[ObjectInfo, Future[bytes]]] = deque()
        bytes_flying = 0
        with ThreadPoolExecutor(_READ_CONCURRENCY, thread_name_prefix="read") as pool:
            try:
                while waiting or flying:
                    while waiting and len(flying) < _READ_CONCURRENCY:
                        if flying and bytes_flying + waiting[0].size > _READ_AHEAD_BYTES:
                            break
                        info = waiting.popleft()
                        bytes_flying += info.size
                        flying.append((info, pool.submit(self.get, info.key, if_match=info.e_tag)))
                    info, data = flying.popleft()
                    yield info, data.result()
                    bytes_flying -= info.size
            finally:
                pool.shutdown(cancel_futures=True)

    def put(self, key: str, data: bytes | Path) -> None:
        """Write an object, replacing any that is there. ``data`` is bytes, or a local file."""
        try:
            if self.root is None:
                obstore.put(self._inner, key, data)
                return
            staged = f"{_STAGING}/{_staging_name(key)}"
            self._discard_staged(key)
            obstore.put(self._inner, staged, data)
            obstore.rename(self._inner, staged, key)
        except (BaseError, OSError) as error:
            raise self._failure("write", key, error) from error

    def move(self, source: str, key: str) -> None:
        """Move an object to another key, replacing any that is there."""
        try:
            if self.root is None:
                obstore.copy(self._inner, source, key)
                obstore.delete(self._inner, source)
            else:
                obstore.rename(self._inner, source, key)
        except (BaseError, OSError) as error:
            raise self._failure("write", key, error) from error

    def create(self, key: str, data: bytes) -> bool:
        """Write an object if there is none; returns whether it was written. Atomic among all callers."""
        try:
            obstore.put(self._inner, key, data, mode="create")
        except (AlreadyExistsError, PreconditionError):
            return False
        except (BaseError, OSError) as error:
            raise self._failure("create", key, error) from error
        return True

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects. An object that does not exist, or that cannot exist under its key, is not an error."""
        for key in keys:
            self._discard_staged(key)
            try:
                obstore.delete(self._inner, key)
            except (NotFoundError, FileNotFoundError):
                continue
            except TypeError:  # obstore's error for a key that it cannot address, so that nothing was put there either
                continue
            except BaseError as error:
                if self._can_exist(key, error):
                    raise self._failure("delete", key, error) from error

    def _can_exist(self, key: str, error: BaseError) -> bool:
        """Whether there can be an object whose deletion failed so: one with too long a name never was put."""
        if self.root is None:
            return "<Code>KeyTooLongError</Code>" not in str(error)
        try:
            (self.root / key).lstat()
        except OSError as problem:
            return problem.errno not in _NO_SUCH_PATH
        return True

    def _discard_staged(self, key: str) -> None:
        """Delete what killed writes of ``key`` left in a local store; obstore adds ``#1`` and so on to names."""
        if self.root is None:
            return
        staging, name = self.root / _STAGING, _staging_name(key)
        with suppress(FileNotFoundError):
            # not Path.glob, which takes longer to compile its pattern than a small object takes to write
            for left in staging.iterdir():
                if left.name.startswith(name):
                    left.unlink(missing_ok=True)

    def _changed(self, key: str) -> RawChangedError:
        return RawChangedError(f"{self.url_of(key)} changed or vanished while it was read: run the partition again")

    def _failure(self, verb: str, key: str, error: Exception) -> StoreError:
        return StoreError(f"cannot {verb} {self.url_of(key)}: {in_one_line(error)}")


class _RangeReader(io.RawIOBase):
    def __init__(self, store: Store, info: ObjectInfo) -> None:
        self._store, self._info, self._position = store, info, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._info.size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = self._info.size - self._position
        length = left if size < 0 else min(size, left)
        data = b""
        if length > 0:
            data = self._store.get_range(self._info.key, self._position, length, if_match=self._info.e_tag)
        self._position += len(data)
        return data


def _staging_name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def open_store(url: str, *, create: bool = False) -> Store:
    """The store at a path, ``file://`` or ``s3://bucket/prefix`` URL; ``create`` makes a missing local folder."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme.lower() == "s3":
        url = f"s3://{rest.rstrip('/')}"
        return Store(url=url, _inner=open_s3(url), root=None)
    if separator and scheme.lower() != "file" and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+", scheme):
        raise SettingsError(f"{url!r} is not a store: set a path, a file:// URL or an s3:// URL")
    path = unquote(rest.removeprefix("localhost")) if separator and scheme.lower() == "file" else url
    root = Path(path).expanduser().resolve()
    if not create and not root.is_dir():
        raise SettingsError(f"the folder {root} does not exist")
    try:
        inner = LocalStore(root, mkdir=create)
    except OSError as error:
        raise SettingsError(f"cannot make the folder {root}: {error}") from error
    return Store(url=f"file://{root}", _inner=inner, root=root)
