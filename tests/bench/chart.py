"""A bar chart with ranges as SVG: [(name, (least, median, most)), ...]."""

from xml.sax.saxutils import escape

LEFT, WIDTH, ROW, TOP = 330, 430, 26, 44


def scale_step(most):
    """A round distance of lines so that there are three to eight."""
    step = 10.0 ** (len(str(int(most))) - 1)
    return step if most / step >= 3 else step / 2 if most / step >= 1.5 else step / 5


def bars(title, unit, rows, highlight):
    """The chart's text; rows whose name begins with highlight are dark."""
    most = max(spread[2] for _, spread in rows)
    step, bottom = scale_step(most), TOP + ROW * len(rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 100}" height="{bottom + 34}" '
           'font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="#fff"/>',
           f'<text x="12" y="22" font-size="14">{escape(title)}</text>']

    def x(value):
        return f"{LEFT + WIDTH * value / most:.1f}"

    for i in range(int(most / step) + 1):
        out += [f'<line x1="{x(i * step)}" y1="{TOP - 6}" x2="{x(i * step)}" y2="{bottom}" stroke="#ddd"/>',
                f'<text x="{x(i * step)}" y="{bottom + 18}" text-anchor="middle">{i * step:g}</text>']
    out.append(f'<text x="{LEFT + WIDTH + 30}" y="{bottom + 18}">{escape(unit)}</text>')
    for i, (name, (low, median, high)) in enumerate(rows):
        y, color = TOP + ROW * i, "#1f5f8b" if name.startswith(highlight) else "#b7b7b7"
        out += [f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>',
                f'<rect x="{LEFT}" y="{y + 1}" width="{WIDTH * median / most:.1f}" height="16" fill="{color}"/>',
                f'<path d="M{x(low)},{y + 9}H{x(high)}M{x(low)},{y + 5}v8M{x(high)},{y + 5}v8" '
                'stroke="#000" fill="none"/>']
    return "\n".join(out) + "\n</svg>\n"
