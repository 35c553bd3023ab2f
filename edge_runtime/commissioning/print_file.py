"""A picture as a file that prints at its true size: PDF (ISO 32000-1), or PNG with its resolution stated."""

from __future__ import annotations

import struct
import zlib

import cv2

from edge_runtime.records import Image

_POINTS_PER_MM = 72 / 25.4
_PAPER_MM = (210.0, 297.0)
_PNG_HEADER_END = 33


def true_size_pdf(image: Image, size_mm: tuple[float, float]) -> bytes:
    """One A4 page, upright (larger where the picture asks for it), with the picture in its middle.

    Args:
        image: `[height, width, 3]` uint8 RGB.
        size_mm: Width and height on paper.
    """
    page = [max(paper, side + 20) * _POINTS_PER_MM for paper, side in zip(_PAPER_MM, size_mm, strict=True)]
    wide, high = (side * _POINTS_PER_MM for side in size_mm)
    left, bottom = (page[0] - wide) / 2, (page[1] - high) / 2
    drawing = f"q {wide:.4f} 0 0 {high:.4f} {left:.4f} {bottom:.4f} cm /Sheet Do Q".encode()
    pixels = zlib.compress(image.tobytes(), 9)
    height, width = image.shape[:2]
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /PrintScaling /None >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {page[0]:.4f} {page[1]:.4f}] /Contents 4 0 R "
        "/Resources << /XObject << /Sheet 5 0 R >> >> >>".encode(),
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(drawing), drawing),
        f"<< /Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceRGB "
        f"/BitsPerComponent 8 /Interpolate false /Filter /FlateDecode /Length {len(pixels)} >>\nstream\n".encode()
        + pixels
        + b"\nendstream",
    ]
    document, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(document))
        document += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(document)}\n%%EOF\n"
    return document + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()


def true_size_png(image: Image, size_mm: tuple[float, float]) -> bytes:
    """A PNG that says how many pixels a metre has (chunk pHYs), which printing programs go by."""
    encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    per_metre = [round(pixels * 1000 / side) for pixels, side in zip(image.shape[1::-1], size_mm, strict=True)]
    content = b"pHYs" + struct.pack(">IIB", *per_metre, 1)
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return encoded[:_PNG_HEADER_END] + chunk + encoded[_PNG_HEADER_END:]
