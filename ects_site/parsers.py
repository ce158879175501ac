"""How the API reads JSON: as Django REST framework does, with no body that it cannot refuse."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class Json(JSONParser):
    """Nested too deep, or in an encoding that nobody knows: 400 as well."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Raises ParseError for whatever is not JSON."""
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError("JSON parse error: it is nested too deep.") from None
        except LookupError as error:
            raise ParseError(f"JSON parse error: {error}") from None
