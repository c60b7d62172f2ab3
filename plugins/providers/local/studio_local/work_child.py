"""The worker program: draws, composes, judges, shrinks, mixes sound and exports time lines.

Started as `python -m studio_local.work_child <parent pid> <memory MB>`; libraries are imported at first need.
"""

from __future__ import annotations

from typing import Any

from studio_local.children.serve import serve

# Each import below costs up to 150 ms, and a worker that draws never needs the others.
# ruff: noqa: PLC0415 - a worker starts for one task and should load what that task needs


def draw(payload: dict[str, Any]) -> dict[str, Any]:
    """Draw one panel to `out`."""
    from studio_local.drawing.panel import draw_panel

    return draw_panel(payload)


def compose(payload: dict[str, Any]) -> dict[str, Any]:
    """Write a music bed to `out`."""
    from studio_local.synth import compose_bed

    return compose_bed(payload)


def film_still(payload: dict[str, Any]) -> dict[str, Any]:
    """Move the camera over a still and encode it."""
    from studio_local.film.motion import film_still as film

    return film(payload)


def mix_track(payload: dict[str, Any]) -> dict[str, Any]:
    """Mix voices and music to raw samples at `out`."""
    from studio_local.film.track import mix_track as mix

    return mix(payload)


def export(payload: dict[str, Any]) -> dict[str, Any]:
    """Write OTIO, EDL and FCPXML."""
    from studio_local.film.exports import export_timeline

    return export_timeline(payload)


def score(payload: dict[str, Any]) -> dict[str, Any]:
    """Judge one image."""
    from studio_local.judging import judge_image

    return judge_image(payload)


def shrink(payload: dict[str, Any]) -> dict[str, Any]:
    """Write a thumbnail to `out`."""
    from studio_local.shrinking import shrink_image

    return shrink_image(payload)


if __name__ == "__main__":
    serve(
        {
            "compose": compose,
            "draw": draw,
            "export": export,
            "film_still": film_still,
            "mix_track": mix_track,
            "score": score,
            "shrink": shrink,
        }
    )
