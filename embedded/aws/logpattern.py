"""The only place for the filter patterns of CloudWatch Logs: terms, space-delimited fields, and JSON.

Rules and golden cases: "Filter pattern syntax for metric filters", CloudWatch Logs user guide. A pattern is compiled
once; matching an event gives the values that the pattern names, as ``TestMetricFilter`` shows them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

Extracted: TypeAlias = dict[str, str]
Matcher: TypeAlias = Callable[[str], "Extracted | None"]
_Test: TypeAlias = Callable[[Any], bool]

_MISSING: Any = object()
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
_TERM = re.compile(r"^[A-Za-z0-9_]+$")
_TERMS = re.compile(r"\s*(?:([-?]?)(?:\"((?:[^\"\\]|\\.)*)\"|%([^%]*)%|([^\s\"%]+)))")
_FIELD = re.compile(r"\[[^\]]*\]|\"[^\"]*\"|\S+")
_TOKEN = re.compile(
    r"\s*(&&|\|\||<=|>=|!=|[()<>=]|\"(?:[^\"\\]|\\.)*\"|%[^%]*%"
    r"|\$(?:\.[A-Za-z0-9_@#-]+|\[\d+\]|\[\*\]|\[\"[^\"]*\"\]|\['[^']*'\])+|[^\s()<>=!&|\"%]+)"
)
_STEP = re.compile(r"\.([A-Za-z0-9_@#-]+)|\[(\d+)\]|\[(\*)\]|\[\"([^\"]*)\"\]|\['([^']*)'\]")
_ORDERINGS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


class LogPatternError(ValueError):
    """A filter pattern that CloudWatch Logs would not take; the message says where."""


@dataclass(frozen=True, slots=True)
class LogPattern:
    """A compiled filter pattern."""

    text: str
    matcher: Matcher

    def match(self, message: str) -> Extracted | None:
        """The values that the pattern names in a matching event (often none), ``None`` for an event that it skips."""
        return self.matcher(message)


def compile_pattern(text: str) -> LogPattern:
    """Compile a filter pattern. Raises ``LogPatternError``."""
    stripped = text.strip()
    if stripped.startswith("{"):
        if not stripped.endswith("}"):
            raise LogPatternError(f"a pattern that begins with {{ must end with }}: {text!r}")
        return LogPattern(text, _json_matcher(stripped[1:-1]))
    if stripped.startswith("["):
        if not stripped.endswith("]"):
            raise LogPatternError(f"a pattern that begins with [ must end with ]: {text!r}")
        return LogPattern(text, _fields_matcher(stripped[1:-1]))
    return LogPattern(text, _terms_matcher(stripped))


def _terms_matcher(text: str) -> Matcher:
    wanted: dict[str, list[_Test]] = {"": [], "-": [], "?": []}
    for found in _all(_TERMS, text):
        sign, quoted, regex, plain = found.groups()
        if regex is not None:
            wanted[sign].append(_regex(regex))
            continue
        if plain is not None and not _TERM.match(plain):
            raise LogPatternError(f"Invalid character(s) in term {plain!r}; put it in double quotes")
        term = _unquoted(quoted) if quoted is not None else plain
        wanted[sign].append(_containing(term))
    # Beside terms that must or must not be there, terms with a question mark mean nothing.
    alternatives = wanted["?"] if not (wanted[""] or wanted["-"]) else []

    def match(message: str) -> Extracted | None:
        fits = (
            all(test(message) for test in wanted[""])
            and not any(test(message) for test in wanted["-"])
            and (not alternatives or any(test(message) for test in alternatives))
        )
        return {} if fits else None

    return match


def _containing(term: str) -> _Test:
    return lambda message: term in message


def _fields_matcher(text: str) -> Matcher:
    fields = [part.strip() for part in text.split(",")] if text.strip() else []
    if fields.count("...") > 1:
        raise LogPatternError("only one ... is allowed in a space-delimited pattern")
    tests = [None if field == "..." else _field(field) for field in fields]
    gap = tests.index(None) if None in tests else None
    named = [test for test in tests if test is not None]

    def match(message: str) -> Extracted | None:
        values = [_stripped(value) for value in _FIELD.findall(message)]
        if gap is not None:
            tail = len(named) - gap
            if len(values) < len(named):
                return None
            values = values[:gap] + (values[-tail:] if tail else [])
        if len(values) != len(named):
            return None
        if not all(test(value) for (_, test), value in zip(named, values, strict=True)):
            return None
        return {f"${name}": value for (name, _), value in zip(named, values, strict=True)}

    return match


def _field(text: str) -> tuple[str, _Test]:
    """One field of a space-delimited pattern: its name, and what its value must be."""
    tokens = _tokens(text)
    name = tokens[0] if tokens else ""
    if not re.match(r"^\w+$", name):
        raise LogPatternError(f"{text!r} is no field: a field begins with its name")
    if len(tokens) == 1:
        return name, lambda _: True
    reader = _Reader(tokens, lambda token: (lambda value: value) if token == name else None)
    return name, reader.read_all()


def _json_matcher(text: str) -> Matcher:
    tokens = _tokens(text)
    selectors = list(dict.fromkeys(token for token in tokens if token.startswith("$")))
    getters = {selector: _getter(selector) for selector in selectors}
    test = _Reader(tokens, getters.get).read_all()

    def match(message: str) -> Extracted | None:
        try:
            event = json.loads(message)
        except ValueError:
            return None
        if not isinstance(event, dict | list) or not test(event):
            return None
        found = {selector: getter(event) for selector, getter in getters.items()}
        return {selector: _shown(value) for selector, value in found.items() if value is not _MISSING}

    return match


class _Reader:
    """Reads ``a = 1 && (b > 2 || c IS NULL)``; ``&&`` binds closer than ``||``."""

    def __init__(self, tokens: list[str], getter: Callable[[str], Callable[[Any], Any] | None]) -> None:
        self._tokens = tokens
        self._getter = getter
        self._at = 0

    def read_all(self) -> _Test:
        """The whole expression. Raises ``LogPatternError`` at the first token that cannot stand where it does."""
        test = self._any()
        if self._at < len(self._tokens):
            raise LogPatternError(f"did not expect {self._tokens[self._at]!r}")
        return test

    def _next(self, what: str) -> str:
        if self._at >= len(self._tokens):
            raise LogPatternError(f"the pattern ends where {what} should stand")
        self._at += 1
        return self._tokens[self._at - 1]

    def _took(self, token: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at].upper() == token:
            self._at += 1
            return True
        return False

    def _any(self) -> _Test:
        tests = [self._all()]
        while self._took("||"):
            tests.append(self._all())
        return lambda event: any(test(event) for test in tests)

    def _all(self) -> _Test:
        tests = [self._one()]
        while self._took("&&"):
            tests.append(self._one())
        return lambda event: all(test(event) for test in tests)

    def _one(self) -> _Test:
        if self._took("("):
            inner = self._any()
            if not self._took(")"):
                raise LogPatternError("a ( is never closed")
            return inner
        subject = self._next("a field")
        get = self._getter(subject)
        if get is None:
            raise LogPatternError(f"{subject!r} is no field of the pattern")
        if self._took("IS"):
            wanted = {"TRUE": True, "FALSE": False, "NULL": None}
            word = self._next("TRUE, FALSE or NULL").upper()
            if word not in wanted:
                raise LogPatternError(f"IS {word} is not known; TRUE, FALSE and NULL are")
            return lambda event: get(event) is wanted[word]
        if self._took("NOT"):
            if not self._took("EXISTS"):
                raise LogPatternError("NOT must be followed by EXISTS")
            return lambda event: get(event) is _MISSING
        return _comparison(get, self._next("an operator"), self._next("a value"))


def _comparison(get: Callable[[Any], Any], operator: str, token: str) -> _Test:
    number = float(token) if _NUMBER.match(token) else None
    if operator in _ORDERINGS:
        if number is None:
            raise LogPatternError(f"{operator} wants a number, not {token!r}")
        bound, ordering = number, _ORDERINGS[operator]
        return lambda event: (value := _as_number(get(event))) is not None and ordering(value, bound)
    if operator not in ("=", "!="):
        raise LogPatternError(f"{operator!r} is no operator")
    equals = _equality(token, number)
    if operator == "=":
        return lambda event: (value := get(event)) is not _MISSING and equals(value)
    return lambda event: (value := get(event)) is not _MISSING and not equals(value)


def _equality(token: str, number: float | None) -> _Test:
    if token.startswith("%"):
        matches = _regex(token[1:-1])
        return lambda value: isinstance(value, str) and matches(value)
    text = _unquoted(token[1:-1]) if token.startswith('"') else token
    pattern = re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL)

    def equals(value: Any) -> bool:
        if number is not None and not token.startswith('"') and (got := _as_number(value)) is not None:
            return got == number
        return isinstance(value, str) and pattern.fullmatch(value) is not None

    return equals


def _as_number(value: Any) -> float | None:
    """A JSON number, or a field of a space-delimited event that reads as one."""
    if isinstance(value, bool) or not isinstance(value, int | float | _FieldText):
        return None
    if isinstance(value, _FieldText):
        return float(value) if _NUMBER.match(value) else None
    return float(value)


class _FieldText(str):
    """The text of a field, which may be compared as a number; a string in JSON may not."""

    __slots__ = ()


def _getter(selector: str) -> Callable[[Any], Any]:
    steps: list[str | int] = []
    for found in _STEP.finditer(selector, 1):
        name, index, star, double, single = found.groups()
        steps.append(
            int(index)
            if index is not None
            else next(s for s in (name, star, double, single) if s is not None)
        )

    def get(event: Any) -> Any:
        return _walk(event, steps)

    return get


def _walk(value: Any, steps: list[str | int]) -> Any:
    for at, step in enumerate(steps):
        if step == "*" and isinstance(value, list):
            found = (_walk(item, steps[at + 1 :]) for item in value)
            return next((each for each in found if each is not _MISSING), _MISSING)
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else _MISSING
        else:
            value = value.get(step, _MISSING) if isinstance(value, dict) else _MISSING
        if value is _MISSING:
            return _MISSING
    return value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _stripped(value: str) -> str:
    return _FieldText(value[1:-1] if value[:1] in '["' and len(value) > 1 else value)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _regex(text: str) -> _Test:
    if any(character in text for character in "()"):
        raise LogPatternError(f"parentheses are not supported in a regular expression: %{text}%")
    try:
        compiled = re.compile(text)
    except re.error as error:
        raise LogPatternError(f"%{text}% is no regular expression: {error}") from error
    return lambda value: compiled.search(value) is not None


def _tokens(text: str) -> list[str]:
    return [found[1] for found in _all(_TOKEN, text)]


def _all(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Every match, one right after the other. Raises ``LogPatternError`` where the text does not go on so."""
    at = 0
    while text[at:].strip():
        found = pattern.match(text, at)
        if found is None or found.end() == at:
            raise LogPatternError(f"cannot be understood at {text[at : at + 20]!r}")
        yield found
        at = found.end()
