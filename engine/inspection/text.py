"""The findings about a pair as lines for a terminal."""

from __future__ import annotations

from typing import Any

Facts = dict[str, Any]


def as_text(summary: Facts) -> str:
    """Return the findings for people."""
    lines = [_raster_lines(role, summary[role]) for role in ("ms", "pan") if summary[role]]
    lines += [_pair_lines(summary), _plan_lines(summary)]
    for title in ("decisions", "warnings", "problems"):
        if summary[title]:
            lines.append("\n".join([title.capitalize(), *(f"  - {t}" for t in summary[title])]))
    lines.append(summary["verdict"])
    return "\n\n".join(line for line in lines if line)


def _raster_lines(role: str, raster: Facts) -> str:
    width, height = raster["size_px"]
    size = f"{width} × {height} px" + (f" of {raster['pixel_m']:g} m" if raster["pixel_m"] else "")
    bands = raster["bands"]
    return "\n".join(
        [
            f"{role.upper():<5} {raster['name']}",
            f"  size      {size}, {raster['orientation']}",
            f"  CRS       {raster['crs']}",
            f"  extent    {raster['extent']}",
            f"  bands     {len(bands)} {', '.join(raster['dtypes'])}: {', '.join(bands)}",
            f"  invalid   {raster['invalid_pixels']}",
        ]
    )


def _pair_lines(summary: Facts) -> str:
    pair, shift = summary["pair"], summary["registration"]
    if pair is None:
        return ""
    lines = ["Pair", f"  ratio     {pair['ratio']:g}"]
    if pair["offset_px"]:
        cols, rows = pair["offset_px"]
        lines.append(f"  offset    {cols:g} columns, {rows:g} rows (PAN pixels between the grids)")
    if pair["overlap_ms_percent"] is not None:
        area = f"{pair['overlap_m2']:,} m², " if pair["overlap_m2"] is not None else ""
        lines.append(
            f"  overlap   {area}{pair['overlap_ms_percent']:g} % of the MS and "
            f"{pair['overlap_pan_percent']:g} % of the PAN"
        )
    if shift:
        lines.append(
            f"  shift     {shift['dx_px']:+.2f} right, {shift['dy_px']:+.2f} down (PAN pixels, "
            f"confidence {shift['confidence']:.2f} from {shift['patches']} patches)"
        )
    if summary["map"]:
        width, height = summary["map"]["size_px"]
        lines.append(f"  map       {width} × {height} px")
    return "\n".join(lines)


def _plan_lines(summary: Facts) -> str:
    plan: Facts | None = summary["plan"]
    if plan is None:
        return ""
    return "\n".join(
        [
            "Run",
            f"  tiles     {plan['tiles']} of {plan['tile_px']} MS pixels, halo {plan['halo_px']}",
            f"  runtime   {plan['runtime']} on {plan['device']}",
            f"  time      about {plan['time_s']:g} s",
            f"  memory    about {plan['memory_mb']:g} MB",
            f"  basis     {plan['basis']}",
        ]
    )
