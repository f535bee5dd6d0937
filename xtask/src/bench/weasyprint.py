# Renders one document after the other: a line of JSON in, the number of pages out.
import json
import sys

from weasyprint import HTML

for line in sys.stdin:
    document = HTML(string=json.loads(line)).render()
    document.write_pdf()
    print(len(document.pages), flush=True)
