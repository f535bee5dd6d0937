import asyncio
import csv
import html
from collections import defaultdict

from atelier_tools import create_pdf_document, create_web_app


def totals(path):
    paid = defaultdict(float)
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            paid[row["who"]] += float(row["euro"])
    return dict(sorted(paid.items(), key=lambda item: -item[1]))


def chart(paid):
    most = max(paid.values())
    bars = []
    for index, (name, euro) in enumerate(paid.items()):
        top = 20 + 46 * index
        bars.append(
            f'<text x="0" y="{top + 21}">{html.escape(name)}</text>'
            f'<rect x="60" y="{top}" width="{260 * euro / most:.1f}" height="30" rx="4" fill="#0f766e"/>'
            f'<text x="330" y="{top + 21}">{euro:.2f} €</text>'
        )
    height = 46 * len(paid) + 30
    return f'<svg viewBox="0 0 420 {height}" role="img" aria-label="Paid by each">{"".join(bars)}</svg>'


def page(title, body):
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>body{{font:16px system-ui,sans-serif;margin:2rem auto;"
        "max-width:40rem;padding:0 1rem;color:#0f172a;background:#fff}svg{width:100%}</style></head>"
        f"<body><main><h1>{title}</h1>{body}</main></body></html>"
    )


paid = totals("costs.csv")
share = sum(paid.values()) / len(paid)
settle = "".join(
    f"<li>{html.escape(name)} {'gets' if euro > share else 'owes'} {abs(euro - share):.2f} €</li>"
    for name, euro in paid.items()
)
report = page("Who paid for Lisbon", f"{chart(paid)}<h2>Settling up</h2><ul>{settle}</ul>")
print(f"{len(paid)} people, {sum(paid.values()):.2f} € in all, {share:.2f} € each")
app, document = await asyncio.gather(
    create_web_app(app_name="lisbon_chart", html=report),
    create_pdf_document(doc_name="lisbon_chart", html=report),
)
{"app": app["url"], "version": app["version"], "document": document["url"], "share": round(share, 2)}
