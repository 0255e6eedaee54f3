"""The findings about a pair as a page that stands alone: no script, no font, no network."""

from __future__ import annotations

import re
from html import escape
from typing import Any

Facts = dict[str, Any]

_STYLE = """
:root{--ink:#1d2a2e;--soft:#5b6b70;--line:#dfe6e4;--good:#1c6b4a;--bad:#a12f23;--warn:#8a5a00}
body{font:15px/1.5 "Segoe UI",Roboto,"Noto Sans",sans-serif;color:var(--ink);margin:0;
background:#f5f7f6}
main{max-width:52rem;margin:2rem auto;padding:0 1.5rem}
h1{font-size:1.5rem;margin:0 0 .2rem}h2{font-size:1.05rem;margin:1.8rem 0 .5rem}
p.names{color:var(--soft);margin:0 0 1.2rem}
.verdict{padding:.8rem 1rem;border-radius:.4rem;font-weight:600;color:#fff;background:var(--good)}
.verdict.bad{background:var(--bad)}
section,table{background:#fff;border:1px solid var(--line);border-radius:.4rem}
ul{background:#fff;border:1px solid var(--line);border-radius:.4rem;margin:0;
padding:.6rem 1rem .6rem 2rem}
ul.problems{border-left:4px solid var(--bad)}ul.warnings{border-left:4px solid var(--warn)}
table{border-collapse:separate;border-spacing:0;width:100%;font-variant-numeric:tabular-nums}
code{font:.95em ui-monospace,Consolas,monospace}
td,th{padding:.4rem .8rem;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
tr:first-child>*{border-top:0}th{color:var(--soft);font-weight:500;width:9rem}
.shift{display:flex;gap:1.5rem;align-items:center;padding:1rem}
.shift svg{flex:none}small{color:var(--soft)}
@media(prefers-color-scheme:dark){:root{--ink:#e6eceb;--soft:#9fb0b3;--line:#334046}
body{background:#161d20}section,table,ul{background:#1e272b}}
"""


def as_html(summary: Facts) -> str:
    """Return a whole HTML document with the findings of ``panloom inspect``."""
    names = " and ".join(escape(summary[r]["name"]) for r in ("ms", "pan") if summary[r])
    bad = " bad" if summary["problems"] else ""
    parts = [
        f'<h1>MS and PAN pair</h1><p class="names">{names or "No raster could be opened."}</p>',
        f'<div class="verdict{bad}">{_text(summary["verdict"])}</div>',
        _sentences("Problems", "problems", summary),
        _sentences("Warnings", "warnings", summary),
        _shift(summary["registration"]),
        _sentences("What the engine does", "decisions", summary),
        _table("Both rasters", ("", "MS", "PAN"), _raster_rows(summary)),
        _table("The pair", (), _pair_rows(summary)),
        _table("The run", (), _plan_rows(summary)),
    ]
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Panloom: pair</title>'
        f"<style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _text(sentence: str) -> str:
    """Return a sentence as HTML, what stands in backticks as code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(sentence))


def _sentences(title: str, key: str, summary: Facts) -> str:
    if not summary[key]:
        return ""
    items = "".join(f"<li>{_text(text)}</li>" for text in summary[key])
    return f'<h2>{title}</h2><ul class="{key}">{items}</ul>'


def _table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    body = "".join(
        "<tr>" + f"<th>{escape(name)}</th>" + "".join(f"<td>{escape(v)}</td>" for v in values)
        + "</tr>"
        for name, *values in rows
    )  # fmt: skip
    top = "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>" if head else ""
    return f"<h2>{title}</h2><table>{top}{body}</table>"


def _raster_rows(summary: Facts) -> list[tuple[str, ...]]:
    def row(name: str, value: Any) -> tuple[str, ...]:
        return (name, *(value(summary[r]) if summary[r] else "–" for r in ("ms", "pan")))

    if not (summary["ms"] or summary["pan"]):
        return []
    return [
        row("File", lambda r: r["name"]),
        row("Size", lambda r: f"{r['size_px'][0]} × {r['size_px'][1]} pixels"),
        row("Pixel", lambda r: f"{r['pixel_m']:g} m" if r["pixel_m"] else "unknown"),
        row("CRS", lambda r: r["crs"]),
        row("Extent", lambda r: r["extent"]),
        row("Orientation", lambda r: r["orientation"]),
        row("Bands", lambda r: f"{len(r['bands'])}: {', '.join(r['bands'])}"),
        row("Data type", lambda r: ", ".join(r["dtypes"])),
        row("Invalid pixels", lambda r: r["invalid_pixels"]),
    ]


def _pair_rows(summary: Facts) -> list[tuple[str, ...]]:
    pair, result = summary["pair"], summary["map"]
    if pair is None:
        return []
    rows: list[tuple[str, ...]] = [("Ratio", f"{pair['ratio']:g}")]
    if pair["offset_px"]:
        cols, rows_off = pair["offset_px"]
        rows.append(("Grid offset", f"{cols:g} columns and {rows_off:g} rows, in PAN pixels"))
    if pair["overlap_ms_percent"] is not None:
        shares = f"{pair['overlap_ms_percent']:g} % of the MS, {pair['overlap_pan_percent']:g} %"
        area = f"{pair['overlap_m2']:,} m², " if pair["overlap_m2"] is not None else ""
        rows.append(("Overlap", f"{area}{shares} of the PAN"))
    if result:
        pixel = f" of {result['pixel_m']:g} m" if result["pixel_m"] else ""
        width, height = result["size_px"]
        rows.append(("Map", f"{width} × {height} pixels{pixel}, {result['crs']}"))
    return rows


def _plan_rows(summary: Facts) -> list[tuple[str, ...]]:
    plan = summary["plan"]
    if plan is None:
        return []
    tiles = f"{plan['tiles']} of {plan['tile_px']} MS pixels, with a halo of {plan['halo_px']}"
    return [
        ("Model", f"{summary['model']['name']}: {summary['model']['title']}"),
        ("Computed by", f"{plan['runtime']} on {plan['device']}"),
        ("Tiles", tiles),
        ("Time", f"about {plan['time_s']:g} s"),
        ("Memory", f"about {plan['memory_mb']:g} MB"),
        ("Estimated from", plan["basis"]),
    ]


def _shift(found: Facts | None) -> str:
    """A cross-hair of ±2 PAN pixels with the measured shift as a dot."""
    if found is None:
        return ""
    limit, scale, center = 2.0, 28, 64
    x, y = (center + scale * max(-limit, min(limit, found[key])) for key in ("dx_px", "dy_px"))
    rings = "".join(
        f'<circle cx="{center}" cy="{center}" r="{scale * r}" fill="none" stroke="#b8c4c2"/>'
        for r in (1, 2)
    )
    color = "#1c6b4a" if found["is_sure"] else "#9fb0b3"
    picture = (
        '<svg width="128" height="128" role="img" aria-label="Measured shift">'
        f'{rings}<path d="M{center} 4V124M4 {center}H124" stroke="#b8c4c2"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{color}"/></svg>'
    )
    figures = (
        f"{found['dx_px']:+.2f} right, {found['dy_px']:+.2f} down, in PAN pixels · confidence "
        f"{found['confidence']:.2f} from {found['patches']} patches · rings at 1 and 2 pixels"
    )
    return (
        f'<h2>Shift between PAN and MS</h2><section class="shift">{picture}'
        f"<div>{_text(found['text'])}<br><small>{figures}</small></div></section>"
    )
