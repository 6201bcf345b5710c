#!/usr/bin/env python3
"""check.py NAME...: reads an SVG picture of springline's on stdin.

It must be well-formed, load nothing, and name every NAME; no box may lie over another, no text leave its box, nothing
leave the paper. Texts are measured as fonts of fixed width draw them: 0.602 em a column.
"""

import itertools
import sys
import xml.etree.ElementTree as ET

SVG = '{http://www.w3.org/2000/svg}'
SIZES = {'title': 20, 'name': 14, 'small': 12, 'fact': 12, 'faint': 12, 'wrong': 12}
BOXES = {'plug', 'card', 'link', 'bridge'}


def box(rect):
    x, y, width, height = (float(rect.get(key, 0)) for key in ('x', 'y', 'width', 'height'))
    return x, y, x + width, y + height


def extent(text):
    size = SIZES[text.get('class')]
    x, baseline = float(text.get('x')), float(text.get('y'))
    return x, baseline - 0.8 * size, x + 0.602 * size * len(text.text or ''), baseline + 0.22 * size


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def inside(inner, outer):
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def kind(rect):
    return rect.get('class', '').split(' ')[0]


root = ET.parse(sys.stdin).getroot()
wrong = []
allowed = {SVG + tag for tag in 'svg title desc style defs pattern g rect path polyline text'.split()}
wrong += [f'element {e.tag}' for e in root.iter() if e.tag not in allowed]
wrong += [f'attribute {k}' for e in root.iter() for k in e.attrib if k.startswith('on') or 'href' in k]
wrong += [f'loads {e.get("fill")}' for e in root.iter() if 'url(' in e.get('fill', '') and 'url(#' not in e.get('fill')]
if 'url(' in (root.findtext(SVG + 'style') or '') or '@import' in (root.findtext(SVG + 'style') or ''):
    wrong.append('the style loads something')

paper = next(box(rect) for rect in root.iter(SVG + 'rect') if kind(rect) == 'paper')
if paper[2] > 1600:
    wrong.append(f'{paper[2]} wide')
titles = [group.findtext(SVG + 'title') for group in root.iter(SVG + 'g') if group.get('class') == 'container']
wrong += [f'{name} is not named' for name in sys.argv[1:] if not any(title.startswith(name + ', ') for title in titles)]

rects = [rect for rect in root.iter(SVG + 'rect')]
boxes = [(kind(rect), box(rect)) for rect in rects if kind(rect) in BOXES]
for (a, one), (b, two) in itertools.combinations(boxes, 2):
    if overlap(one, two):
        wrong.append(f'{a} {one} lies over {b} {two}')
bands = [box(rect) for rect in rects if kind(rect) in ('band', 'host')]
wrong += [f'bands {a} and {b}' for a, b in itertools.combinations(bands, 2) if overlap(a, b)]
wrong += [f'{name} {at} leaves its band' for name, at in boxes if not any(inside(at, band) for band in bands)]

texts = [(text, extent(text)) for text in root.iter(SVG + 'text')]
wrong += [f'{text.text!r} leaves the paper' for text, at in texts if not inside(at, paper)]
for group in root.iter(SVG + 'g'):
    if group.get('class') not in ('container', 'linkbox', 'bridgebox'):
        continue
    own = [box(rect) for rect in group.findall(SVG + 'rect')]
    for text in group.findall(SVG + 'text'):
        if not any(inside(extent(text), at) for at in own):
            wrong.append(f'{text.text!r} leaves its box')
for (a, one), (b, two) in itertools.combinations(texts, 2):
    if overlap(one, two):
        wrong.append(f'{a.text!r} lies over {b.text!r}')
if wrong:
    sys.exit('\n'.join(wrong))
print(f'{len(titles)} containers, {len(boxes)} boxes, {len(texts)} texts, {paper[2]:.0f} x {paper[3]:.0f}')
