"""A purchase on paper: as text, as a page of HTML, as PDF.

Each shows the same rows.  A card is named by its label and never by its number.
"""

from __future__ import annotations

from datetime import datetime
from html import escape

from setproto.wallet.recorder import Entry

__all__ = ["as_html", "as_pdf", "as_text", "rows"]

_CSS = (
    "body{font:11pt sans-serif;margin:3em}td{padding:.2em 1em .2em 0;vertical-align:top}td:last-child{white-space:pre}"
)


def rows(entry: Entry) -> list[tuple[str, str]]:
    """What there is to say, in pairs; an empty left side continues the row above."""
    ordered, delivery = entry.description, entry.description.delivery
    found = [("Merchant", entry.merchant), ("Order", entry.number), ("Ordered", _time(entry.at))]
    for place, line in enumerate(ordered.lines):
        text = f"{line.quantity} × {line.name} ({line.id}) at {line.unit_price}: {line.amount}"
        found.append(("Items" if place == 0 else "", text))
    found += [
        ("Delivery", f"to {delivery.recipient}, {delivery.deliver_to}, by {delivery.deliver_by}: {delivery.cost}"),
        ("Total", str(ordered.total)),
    ]
    for place, (attempt, standing) in enumerate(entry.attempts):
        said = f" ({attempt.said})" if attempt.said else ""
        text = f"{_time(attempt.at.as_datetime())} with {attempt.card}: {standing.value}{said}"
        found.append(("Payment" if place == 0 else "", text))
    found.append(("Standing", entry.standing.value))
    receipt = entry.receipt
    if receipt is not None:
        found += [
            ("Receipt", f"signed by {receipt.merchant.name}, {_time(receipt.date.as_datetime())}"),
            ("", f"held {receipt.authorized}, captured {receipt.captured}, given back {receipt.credited}"),
            ("", f"customer {receipt.customer_code}, gateway {receipt.gateway.name}"),
            ("", f"transaction {receipt.xid.hex()}"),
        ]
    return found


def _title(entry: Entry) -> str:
    return "Receipt" if entry.kept is not None else "Order"


def as_text(entry: Entry) -> str:
    """Plain text."""
    title = _title(entry)
    lines = [title, "=" * len(title), ""]
    return "\n".join([*lines, *(f"{name:<10}{text}" for name, text in rows(entry)), ""])


def as_html(entry: Entry) -> str:
    """A page of HTML that loads nothing from anywhere."""
    table = "\n".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in rows(entry))
    title = escape(f"{_title(entry)} {entry.number}")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_CSS}</style></head>"
        f"\n<body><h1>{escape(_title(entry))}</h1>\n<table>\n{table}\n</table></body></html>\n"
    )


def as_pdf(entry: Entry) -> bytes:
    """A page of PDF.  Its fonts are those that every reader has, so it shows Latin-1; other characters become "?"."""
    # Not at the top: it takes longer to load than all the rest of the wallet.
    from fpdf import FPDF
    from fpdf.enums import XPos, YPos

    pdf = FPDF(format="A4")
    pdf.set_title(_latin(f"{_title(entry)} {entry.number}"))
    pdf.set_creation_date(entry.at if entry.receipt is None else entry.receipt.date.as_datetime())
    pdf.add_page()
    pdf.set_font("helvetica", style="B", size=18)
    pdf.cell(text=_title(entry), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(6)
    for name, text in rows(entry):
        pdf.set_font("helvetica", style="B", size=11)
        pdf.cell(w=32, h=7, text=_latin(name))
        pdf.set_font("helvetica", size=11)
        pdf.multi_cell(w=0, h=7, text=_latin(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    return bytes(pdf.output())


def _latin(text: str) -> str:
    return text.encode("latin-1", errors="replace").decode("latin-1")


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
