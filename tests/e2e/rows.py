"""The whole table of the scenario suite."""

from __future__ import annotations

from tests.e2e import rows_copy, rows_ignore, rows_instructions, rows_options, rows_scope, rows_stages

ROWS = (
    *rows_stages.ROWS,
    *rows_scope.ROWS,
    *rows_options.ROWS,
    *rows_copy.ROWS,
    *rows_ignore.ROWS,
    *rows_instructions.ROWS,
)
