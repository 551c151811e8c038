"""Numbers, and text in columns, as people read them; every table is written the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill.evaluation.over_seeds import Spread


def millions(count: float) -> str:
    """``22713216`` as ``22.7``: millions with about three significant digits.

    Example:
        >>> millions(22_713_216), millions(4_300), millions(11_174_000_000)
        ('22.7', '0.0043', '11,174')
    """
    value = count / 1e6
    return f"{value:.2g}" if value < 0.1 else _three_digits(value)


def _three_digits(value: float) -> str:
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:,.{decimals}f}"


def megabytes(count: float) -> str:
    """Bytes as megabytes (10^6), such as ``90.9``."""
    return millions(count)


def milliseconds(value: float | None) -> str:
    """Milliseconds with three significant digits."""
    return "-" if value is None else _three_digits(value)


def p50_and_p95(latency: Any) -> list[str]:
    """A latency of the results in milliseconds: the median and the 95th percentile."""
    return [milliseconds(latency and latency.p50), milliseconds(latency and latency.p95)]


def counted(number: int, what: str) -> str:
    """``2 threads``, ``1 thread``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def rate(value: float | None) -> str:
    """Examples per second."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def percent(share: float | None) -> str:
    """``0.964`` as ``96.4 %``."""
    return "-" if share is None else f"{100 * share:.1f} %"


def times(ratio: float | None) -> str:
    """``6.23`` as ``6.2x``."""
    if ratio is None:
        return "-"
    if ratio >= 99.5:
        return f"{ratio:,.0f}x"
    return f"{ratio:.1f}x" if ratio >= 0.995 else f"{ratio:.2f}x"


def score(value: float) -> str:
    """A score of the task, with four decimals."""
    return f"{value:.4f}"


def half_width(interval: tuple[float, float] | None) -> str:
    """An interval as ``±0.0172``, half its width."""
    return "-" if interval is None else f"±{(interval[1] - interval[0]) / 2:.4f}"


def points(change: float) -> str:
    """A difference of scores in points, such as ``-0.7``."""
    rounded = round(100 * change, 1)
    return f"{rounded:+.1f}" if rounded else "0.0"


def plus_minus(mean: float, deviation: float | None, decimals: int) -> str:
    """Mean and standard deviation, such as ``0.8042 ± 0.0031``; one value has the mean alone."""
    text = f"{mean:.{decimals}f}"
    return text if deviation is None else f"{text} ± {deviation:.{decimals}f}"


def seconds(value: float) -> str:
    """``754`` as ``12 min 34 s``."""
    whole = round(value)
    if value < 10:
        return f"{value:.1f} s"
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"


def align(rows: Sequence[Sequence[str]], words: int = 2) -> list[str]:
    """Rows of text in columns: the first ``words`` columns to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            text.ljust(width) if i < words else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def change(value: float | None) -> str:
    """A difference of scores in points, with its sign."""
    # Adding zero turns what rounds to minus zero into plus zero.
    return "-" if value is None else f"{round(100 * value, 1) + 0.0:+.1f}"


def score_text(value: Spread | None) -> str:
    """A score's mean and standard deviation, with four decimals."""
    return "-" if value is None else plus_minus(value.mean, value.deviation, 4)


def share_text(value: Spread | None) -> str:
    """A share's mean and standard deviation in percent: ``96.4 ± 0.4 %``."""
    if value is None:
        return "-"
    deviation = None if value.deviation is None else 100 * value.deviation
    return f"{plus_minus(100 * value.mean, deviation, 1)} %"


def gain_text(value: Spread | None) -> str:
    """A difference of scores, with its sign."""
    return "-" if value is None else f"{'+' if value.mean >= 0 else ''}{score_text(value)}"
