"""From a name, a YAML file or a mapping to a checked recipe, with errors written for people."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, ValidationError

from diptych.errors import RecipeError
from diptych.recipes.schema import CustomSpec, Recipe

__all__ = ["builtin_names", "load_recipe", "recipe_for_game", "recipe_yaml", "with_settings"]

SEARCHABLE = ("model", "optimizers", "training")
"""The parts of a recipe that a search may change."""


def builtin_names() -> tuple[str, ...]:
    """The names of the recipes that come with the package, sorted."""
    folder = resources.files("diptych.recipes") / "builtin"
    names = (entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return tuple(sorted(name.removesuffix(".yaml") for name in names))


def recipe_yaml(recipe: Recipe) -> str:
    """The recipe as YAML, keys in the schema's order."""
    return yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True, width=95)


def recipe_for_game(game: str) -> Recipe:
    """The recipe written beside a game of somebody's own: everything but the model itself."""
    return Recipe(
        name="custom",
        title=game,
        summary="a game that was given as an object",
        model=CustomSpec(game=game),
    )


def load_recipe(
    source: str | Path | Mapping[str, Any] | Recipe, overrides: Iterable[str] = ()
) -> Recipe:
    """Read a recipe and apply settings.

    Args:
        source: the name of a built-in recipe, the path of a YAML file, a mapping, or a recipe.
        overrides: settings like "model.latent_dim=16"; the value is read as YAML.

    Raises:
        RecipeError: naming the key at fault, the nearest known one, and what is allowed.
    """
    if isinstance(source, Recipe):
        where, settings = f"recipe {source.name!r}", source.to_dict()
    elif isinstance(source, Mapping):
        where, settings = "the recipe", _with_base("the recipe", dict(source), ())
    else:
        where, settings = _read(source)
    for override in sorted(overrides, key=_kinds_first):
        _apply(settings, override)
    return _checked(where, settings)


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with other values, by dotted key.

    Raises:
        RecipeError: naming the key at fault, as `load_recipe` does.
    """
    resolved = recipe.to_dict()
    for key in sorted(settings, key=_kinds_first):
        _put(resolved, key, settings[key], told=key)
    return _checked(f"recipe {recipe.name!r}", resolved)


def _checked(where: str, settings: Mapping[str, Any]) -> Recipe:
    try:
        recipe = Recipe.model_validate(settings)
    except ValidationError as error:
        raise RecipeError(_explain(where, settings, error)) from None
    _check_space(where, recipe)
    return recipe


def _check_space(where: str, recipe: Recipe) -> None:
    """Refuse a search that could choose what the recipe does not take.

    Raises:
        RecipeError: naming the key and the value.
    """
    bare = recipe.model_copy(update={"search": {}})
    for key, dimension in recipe.search.items():
        part = key.partition(".")[0]
        if part not in SEARCHABLE:
            raise RecipeError(
                f"{where}: search has the key {key!r}; it must be a dotted key that begins with "
                + ", ".join(SEARCHABLE)
            )
        for value in dimension.corners():
            try:
                with_settings(bare, {key: value})
            except RecipeError as error:
                reason = str(error).removeprefix(f"recipe {recipe.name!r}: ")
                raise RecipeError(
                    f"{where}: search.{key} may choose {value!r}, which does not fit: {reason}"
                ) from None


def _read(source: str | Path, seen: tuple[str, ...] = ()) -> tuple[str, dict[str, Any]]:
    path = Path(source)
    if isinstance(source, str) and source in builtin_names():
        entry = resources.files("diptych.recipes") / "builtin" / f"{source}.yaml"
        where, text = f"recipe {source!r}", entry.read_text(encoding="utf-8")
    elif path.suffix in (".yaml", ".yml"):
        where = f"recipe file {path}"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{where} cannot be read ({error})") from None
    else:
        if str(source) and path.exists():
            raise RecipeError(f"{path} is not a recipe: a recipe file ends in .yaml")
        names = builtin_names()
        near = difflib.get_close_matches(str(source), names, n=1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise RecipeError(
            f"there is no recipe {str(source)!r}.{guess} Known: {', '.join(names)}; "
            "or give the path of a .yaml file"
        )
    try:
        settings = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise RecipeError(f"{where} is not valid YAML{line}") from None
    if not isinstance(settings, dict):
        raise RecipeError(f"{where} must be a mapping of keys to values")
    return where, _with_base(where, settings, (*seen, str(source)))


def _with_base(where: str, settings: dict[str, Any], seen: tuple[str, ...]) -> dict[str, Any]:
    """A recipe that names a `base` says only what is different from it."""
    base = settings.pop("base", None)
    if base is None:
        return settings
    if isinstance(base, str) and base.endswith((".yaml", ".yml")) and seen:
        base = str(Path(seen[-1]).parent / base)  # beside the file that names it
    if not isinstance(base, str) or base in seen:
        raise RecipeError(f"{where}: 'base' is {base!r}; it must name another recipe")
    return _merged(_read(base, seen)[1], settings)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, key by key; a mapping of another kind replaces the whole."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            same_kind = value.get("kind", old.get("kind")) == old.get("kind")
            # Choices do not mix with a range below them, nor a range with choices.
            same_kind &= ("choices" in value) == ("choices" in old)
            value = _merged(old, value) if same_kind else value
        merged[key] = value
    return merged


def _kinds_first(override: str) -> int:
    """Outer kinds, inner kinds, the rest as given: a change of kind would discard what it met."""
    key = override.partition("=")[0].strip().split(".")
    return len(key) if key[-1] == "kind" else 1_000


def _apply(settings: dict[str, Any], override: str) -> None:
    """Set in place what a person wrote after --set."""
    key, equals, text = override.partition("=")
    if not equals or not all(key.strip().split(".")):
        raise RecipeError(f"--set {override!r} must look like key.sub-key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise RecipeError(f"--set {override!r}: the value is not valid YAML") from None
    # YAML 1.1 reads "1e-3" as text; people mean the number.
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = text.strip()
    _put(settings, key.strip(), value, told=f"--set {override!r}")


def _put(settings: dict[str, Any], key: str, value: Any, *, told: str) -> None:
    """Set one dotted key in place."""
    parts = key.split(".")
    target = settings
    for part in parts[:-1]:
        below = target.get(part)
        if below is None:
            below = target[part] = {}
        if not isinstance(below, dict):
            raise RecipeError(f"{told}: {part!r} is a value and has no keys below it")
        # Copied, so that a caller's mapping is never changed.
        below = target[part] = dict(below)
        target = below
    kind_changes = parts[-1] == "kind" and target.get("kind") != value
    if kind_changes:
        # Another kind has other keys, and the same key may mean another thing: begin anew.
        target.clear()
    target[parts[-1]] = value


def _explain(where: str, settings: Mapping[str, Any], error: ValidationError) -> str:
    """Pydantic's findings as sentences: each key, what was found, what is allowed."""
    return f"{where}: " + "; ".join(
        _sentence(settings, cast(Mapping[str, Any], e)) for e in error.errors()
    )


def _sentence(settings: Mapping[str, Any], problem: Mapping[str, Any]) -> str:
    location, kind = problem["loc"], problem["type"]
    key = ".".join(_keys_only(settings, location))
    if kind == "extra_forbidden":
        allowed = sorted(_fields_at(location[:-1]))
        near = difflib.get_close_matches(str(location[-1]), allowed, n=1)
        guess = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(allowed)}"
        return f"unknown key {key!r}; {guess}"
    if kind == "missing":
        return f"the key {key!r} is missing"
    if kind.startswith("union_tag"):
        allowed_kinds = ", ".join(repr(name) for name in _kinds_at(location))
        if not isinstance(problem["input"], Mapping):
            return f"{key!r} is {problem['input']!r}; it must be a mapping with a 'kind'"
        if "kind" not in problem["input"]:
            return f"{key!r} needs a 'kind', one of {allowed_kinds}"
        return f"{key}.kind is {problem['input']['kind']!r}; allowed: {allowed_kinds}"
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        return f"{key!r} is {problem['input']!r}; it must be a mapping of keys to values"
    message = problem["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return str(message)
    return f"{key!r} is {problem['input']!r}; {message[0].lower()}{message[1:]}"


def _keys_only(settings: Mapping[str, Any], location: Iterable[Any]) -> Iterator[str]:
    """The path as it stands in the file: without the union tags that pydantic puts in."""
    here: Any = settings
    for part in location:
        if isinstance(here, Mapping) and part not in here and here.get("kind") == part:
            continue
        yield str(part)
        here = here.get(part) if isinstance(here, Mapping) else None


def _fields_at(location: tuple[Any, ...]) -> set[str]:
    """The keys the schema knows at a place."""
    here = _schema_at(location)
    return (
        set(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else set()
    )


def _kinds_at(location: tuple[Any, ...]) -> list[str]:
    """The kinds among which a union at a place chooses."""
    options = getattr(_schema_at(location), "__args__", ())
    return [option.model_fields["kind"].default for option in options]


def _schema_at(location: tuple[Any, ...]) -> Any:
    """The type at a place, following fields, unions by tag, and mappings."""
    here: Any = Recipe
    for part in location:
        here = _step(here, str(part))
    return here


def _step(here: Any, part: str) -> Any:
    if isinstance(here, type) and issubclass(here, BaseModel):
        return here.model_fields[part].annotation if part in here.model_fields else None
    arguments = getattr(here, "__args__", ())
    for option in arguments:
        if isinstance(option, type) and issubclass(option, BaseModel):
            kind = option.model_fields.get("kind")
            if kind is None or kind.default == part:
                return option
    return None
