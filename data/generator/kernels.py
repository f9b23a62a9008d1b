# ruff: noqa: ANN001, ANN201, ANN202
"""The rasteriser: z-buffer, alpha-tested shells, shadow depth, deferred shading (numba, one core).

Everything works on plain arrays and is deterministic on one machine. Compilers may contract and
reorder divisions, so another processor may differ in the last digits.
"""

from __future__ import annotations

from math import floor, sqrt

import numba as nb
import numpy as np

_jit = nb.njit(cache=True, fastmath={"contract", "arcp", "nsz"}, nogil=True, error_model="numpy")


@_jit
def raster(sx, sy, iz, tri, depth, ids, b0, b1, base):
    """Draw triangles into a g-buffer: the nearest surface (largest 1/z) wins.

    Args:
        sx, sy, iz: (n,) screen position in pixels and 1/depth.
        tri: (t, 3) int32 corners.
        depth, ids, b0, b1: (h, w) buffers: 1/depth, triangle number + base, two barycentrics.
        base: number of the first triangle.
    """
    h, w = depth.shape
    for t in range(tri.shape[0]):
        i, j, k = tri[t, 0], tri[t, 1], tri[t, 2]
        x0, y0, x1, y1, x2, y2 = sx[i], sy[i], sx[j], sy[j], sx[k], sy[k]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            continue
        xa = int(max(0.0, floor(min(x0, x1, x2))))
        xb = int(min(w - 1.0, floor(max(x0, x1, x2)) + 1))
        ya = int(max(0.0, floor(min(y0, y1, y2))))
        yb = int(min(h - 1.0, floor(max(y0, y1, y2)) + 1))
        inv = 1.0 / area
        for y in range(ya, yb + 1):
            py = y + 0.5
            for x in range(xa, xb + 1):
                px = x + 0.5
                w1 = ((px - x0) * (y2 - y0) - (x2 - x0) * (py - y0)) * inv
                w2 = ((x1 - x0) * (py - y0) - (px - x0) * (y1 - y0)) * inv
                w0 = 1 - w1 - w2
                if w0 < 0 or w1 < 0 or w2 < 0:
                    continue
                z = w0 * iz[i] + w1 * iz[j] + w2 * iz[k]
                if z > depth[y, x]:
                    depth[y, x] = z
                    ids[y, x] = base + t
                    b0[y, x] = w0 * iz[i] / z
                    b1[y, x] = w1 * iz[j] / z


@_jit
def raster_depth(sx, sy, z_, tri, depth):
    """Draw only depth (larger is nearer), for shadows and ambient occlusion."""
    h, w = depth.shape
    for t in range(tri.shape[0]):
        i, j, k = tri[t, 0], tri[t, 1], tri[t, 2]
        x0, y0, x1, y1, x2, y2 = sx[i], sy[i], sx[j], sy[j], sx[k], sy[k]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            continue
        xa = int(max(0.0, floor(min(x0, x1, x2))))
        xb = int(min(w - 1.0, floor(max(x0, x1, x2)) + 1))
        ya = int(max(0.0, floor(min(y0, y1, y2))))
        yb = int(min(h - 1.0, floor(max(y0, y1, y2)) + 1))
        inv = 1.0 / area
        for y in range(ya, yb + 1):
            for x in range(xa, xb + 1):
                px = x + 0.5
                py = y + 0.5
                w1 = ((px - x0) * (y2 - y0) - (x2 - x0) * (py - y0)) * inv
                w2 = ((x1 - x0) * (py - y0) - (px - x0) * (y1 - y0)) * inv
                w0 = 1 - w1 - w2
                if w0 < 0 or w1 < 0 or w2 < 0:
                    continue
                z = w0 * z_[i] + w1 * z_[j] + w2 * z_[k]
                if z > depth[y, x]:
                    depth[y, x] = z


@_jit
def _sample(tex, u, v):
    h, w = tex.shape
    u = min(max(u, 0.0), w - 1.001)
    v = min(max(v, 0.0), h - 1.001)
    x = int(u)
    y = int(v)
    fx = u - x
    fy = v - y
    top = tex[y, x] * (1 - fx) + tex[y, x + 1] * fx
    return top * (1 - fy) + (tex[y + 1, x] * (1 - fx) + tex[y + 1, x + 1] * fx) * fy


@_jit
def _sample_wrap(tex, u, v):
    h, w = tex.shape
    u = u - floor(u / w) * w
    v = v - floor(v / h) * h
    x = int(u) % w
    y = int(v) % h
    fx = u - floor(u)
    fy = v - floor(v)
    x1 = (x + 1) % w
    y1 = (y + 1) % h
    top = tex[y, x] * (1 - fx) + tex[y, x1] * fx
    return top * (1 - fy) + (tex[y1, x] * (1 - fx) + tex[y1, x1] * fx) * fy


@_jit
def raster_strands(sx, sy, iz, tri, su, sv, cover, layer, depth, ids, b0, b1, base, noise):
    """Draw a shell of strands: a pixel survives where the strand noise reaches above the layer.

    Args:
        su, sv: (n,) strand coordinates in noise texels (across, along).
        cover: (n,) coverage; 0 and less is bare, 1 and more is dense.
        layer: 0 (root, all survive where covered) .. 1 (tips, few survive).
        noise: (k, k) float32 in 0..1, long along v.
    """
    h, w = depth.shape
    for t in range(tri.shape[0]):
        i, j, k = tri[t, 0], tri[t, 1], tri[t, 2]
        x0, y0, x1, y1, x2, y2 = sx[i], sy[i], sx[j], sy[j], sx[k], sy[k]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            continue
        xa = int(max(0.0, floor(min(x0, x1, x2))))
        xb = int(min(w - 1.0, floor(max(x0, x1, x2)) + 1))
        ya = int(max(0.0, floor(min(y0, y1, y2))))
        yb = int(min(h - 1.0, floor(max(y0, y1, y2)) + 1))
        inv = 1.0 / area
        for y in range(ya, yb + 1):
            py = y + 0.5
            for x in range(xa, xb + 1):
                px = x + 0.5
                w1 = ((px - x0) * (y2 - y0) - (x2 - x0) * (py - y0)) * inv
                w2 = ((x1 - x0) * (py - y0) - (px - x0) * (y1 - y0)) * inv
                w0 = 1 - w1 - w2
                if w0 < 0 or w1 < 0 or w2 < 0:
                    continue
                z = w0 * iz[i] + w1 * iz[j] + w2 * iz[k]
                if z <= depth[y, x]:
                    continue
                c = w0 * cover[i] + w1 * cover[j] + w2 * cover[k]
                if c <= 0:
                    continue
                if c < 1 or layer > 0:
                    u = w0 * su[i] + w1 * su[j] + w2 * su[k]
                    v = w0 * sv[i] + w1 * sv[j] + w2 * sv[k]
                    if _sample_wrap(noise, u, v) * min(c, 1.0) + (c - 1.0) * 0.5 < layer:
                        continue
                depth[y, x] = z
                ids[y, x] = base + t
                b0[y, x] = w0 * iz[i] / z
                b1[y, x] = w1 * iz[j] / z


@_jit
def vertex_normals(points, tri, normals):
    """Area-weighted vertex normals of (n, 3) points, written into ``normals``."""
    normals[:] = 0
    for t in range(tri.shape[0]):
        i, j, k = tri[t, 0], tri[t, 1], tri[t, 2]
        ax = points[j, 0] - points[i, 0]
        ay = points[j, 1] - points[i, 1]
        az = points[j, 2] - points[i, 2]
        bx = points[k, 0] - points[i, 0]
        by = points[k, 1] - points[i, 1]
        bz = points[k, 2] - points[i, 2]
        nx = ay * bz - az * by
        ny = az * bx - ax * bz
        nz = ax * by - ay * bx
        for q in (i, j, k):
            normals[q, 0] += nx
            normals[q, 1] += ny
            normals[q, 2] += nz
    for i in range(normals.shape[0]):
        norm = sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2) + 1e-12
        normals[i, 0] /= norm
        normals[i, 1] /= norm
        normals[i, 2] /= norm


@_jit
def shade(
    out, alpha, ids, b0, b1, tri, mat, points, normals, canon, attr, occl, tex_u, tex_v,
    tex, relief, noise, strand, eye_centre, eye_axis, eye_size, light, ambient, cam,
    shadow, shadow_mat, colour, shine, cloth_freq,
):  # fmt: skip
    """Shade every covered pixel of the g-buffer in linear light.

    Args:
        out, alpha: (h, w, 3) and (h, w) float32, written.
        ids, b0, b1: the g-buffer of :func:`raster`.
        tri, mat: (t, 3) corners, (t,) materials.
        points, normals, canon: (n, 3) posed points, normals, canonical points.
        attr: (n, 6): lips, inside mouth, cloth, strand u, strand v, strand height 0..1.
        occl: (n,) ambient visibility in 0..1.
        tex_u, tex_v: (n,) texel coordinates.
        tex, relief: (3, H, W) skin colour and (H, W) height of pores and furrows.
        noise, strand: tileable noise, isotropic and along strands.
        eye_centre, eye_axis: (2, 3); eye_size: iris radius (sine), pupil share.
        light: (4, 3) key direction, key colour, fill direction, fill colour.
        ambient: (3, 3) from above, from below, side tilt.
        cam: (3,) camera position.
        shadow, shadow_mat: depth map along the key light and its (3, 4) matrix.
        colour: (10, 3) lip, cloth, second cloth, hair root, hair tip, iris, frame, hand, prop, and
            how bright the teeth are against the usual.
        shine: specular strength of skin; cloth_freq: pattern frequency, 0 = plain.
    """
    h, w = ids.shape
    size = shadow.shape[0]
    tex_w = tex.shape[2]
    for y in range(h):
        for x in range(w):
            t = ids[y, x]
            if t < 0:
                continue
            i, j, k = tri[t, 0], tri[t, 1], tri[t, 2]
            a = b0[y, x]
            b = b1[y, x]
            c = 1 - a - b
            m = mat[t]
            px = a * points[i, 0] + b * points[j, 0] + c * points[k, 0]
            py = a * points[i, 1] + b * points[j, 1] + c * points[k, 1]
            pz = a * points[i, 2] + b * points[j, 2] + c * points[k, 2]
            nx = a * normals[i, 0] + b * normals[j, 0] + c * normals[k, 0]
            ny = a * normals[i, 1] + b * normals[j, 1] + c * normals[k, 1]
            nz = a * normals[i, 2] + b * normals[j, 2] + c * normals[k, 2]
            cx = a * canon[i, 0] + b * canon[j, 0] + c * canon[k, 0]
            cy = a * canon[i, 1] + b * canon[j, 1] + c * canon[k, 1]
            cz = a * canon[i, 2] + b * canon[j, 2] + c * canon[k, 2]
            ao = a * occl[i] + b * occl[j] + c * occl[k]
            vx = cam[0] - px
            vy = cam[1] - py
            vz = cam[2] - pz
            d = sqrt(vx * vx + vy * vy + vz * vz)
            vx /= d
            vy /= d
            vz /= d
            d = sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            nx /= d
            ny /= d
            nz /= d
            if nx * vx + ny * vy + nz * vz < 0 and m != 0:
                nx = -nx
                ny = -ny
                nz = -nz
            inside = 0.0
            exponent = 12.0
            spec = 0.0
            wrap_r = wrap_g = wrap_b = 0.1
            scatter = 0.0
            height = 0.0
            n0 = 0.5
            r = g = bl = 0.0
            if m == 0 and a * attr[i, 2] + b * attr[j, 2] + c * attr[k, 2] > 0.5:
                m = 5
            if m == 0:
                tv = a * tex_v[i] + b * tex_v[j] + c * tex_v[k]
                # per pixel, or the seam at the back of the head would smear across the texture
                tu = (np.arctan2(cx, cz - 0.55) / (2 * np.pi) + 0.5) * (tex_w - 1)
                r = _sample(tex[0], tu, tv)
                g = _sample(tex[1], tu, tv)
                bl = _sample(tex[2], tu, tv)
                lip = a * attr[i, 0] + b * attr[j, 0] + c * attr[k, 0]
                inside = a * attr[i, 1] + b * attr[j, 1] + c * attr[k, 1]
                lip = min(max((lip - 0.25) * 1.6, 0.0), 1.0)
                inside = min(max((inside - 0.3) * 2.0, 0.0), 1.0)
                crease = 0.80 + 0.40 * _sample_wrap(noise, tu * 1.3, tv * 0.2)
                q = 0.85 * lip
                r = r * (1 - q) + q * colour[0, 0] * crease
                g = g * (1 - q) + q * colour[0, 1] * crease
                bl = bl * (1 - q) + q * colour[0, 2] * crease
                r = r * (1 - inside) + inside * 0.14
                g = g * (1 - inside) + inside * 0.035
                bl = bl * (1 - inside) + inside * 0.035
                grain = _sample_wrap(noise, tu * 0.9 + 13, tv * 0.9)
                spec = 0.13 * shine * (0.4 + 1.2 * grain) * (1 + 1.6 * lip) * (1 - 0.7 * inside)
                exponent = 14.0 + 26.0 * lip
                wrap_r = 0.40
                wrap_g = 0.20
                wrap_b = 0.14
                scatter = 1.0
                if inside < 0.5:
                    low = min(max(-_sample(relief, tu, tv), 0.0), 1.2)
                    du = _sample(relief, tu + 1.0, tv) - _sample(relief, tu - 1.0, tv)
                    dv = _sample(relief, tu, tv + 1.0) - _sample(relief, tu, tv - 1.0)
                    nx -= 0.6 * du
                    ny += 0.6 * dv
                    d = sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
                    nx /= d
                    ny /= d
                    nz /= d
                    r *= 1 - 0.36 * low
                    g *= 1 - 0.42 * low
                    bl *= 1 - 0.44 * low
            elif m == 5:
                weave = _sample_wrap(noise, cx * 260, cy * 260) * 0.22 + 0.87
                q = 0.0
                if cloth_freq > 0:
                    lines = floor(cy * cloth_freq)
                    if cloth_freq > 8:
                        lines += floor(cx * cloth_freq)
                    q = 1.0 if lines % 2 == 0 else 0.0
                r = (colour[1, 0] * (1 - q) + colour[2, 0] * q) * weave
                g = (colour[1, 1] * (1 - q) + colour[2, 1] * q) * weave
                bl = (colour[1, 2] * (1 - q) + colour[2, 2] * q) * weave
                spec = 0.01
            elif m == 1:
                e = 0 if cx > 0 else 1
                dx = px - eye_centre[e, 0]
                dy = py - eye_centre[e, 1]
                dz = pz - eye_centre[e, 2]
                d = sqrt(dx * dx + dy * dy + dz * dz) + 1e-9
                dx /= d
                dy /= d
                dz /= d
                nx = dx
                ny = dy
                nz = dz
                ca = dx * eye_axis[e, 0] + dy * eye_axis[e, 1] + dz * eye_axis[e, 2]
                rho = sqrt(max(0.0, 1 - ca * ca)) if ca > 0 else 1.0
                ir = eye_size[0]
                fibre = _sample_wrap(
                    noise, np.arctan2(dy - eye_axis[e, 1], dx - eye_axis[e, 0]) * 40, rho * 30
                )
                q = rho / ir
                veins = 0.05 * max(0.0, rho - 0.55) + 0.03 * (fibre - 0.5)
                white_r = 0.60
                white_g = 0.55 - veins
                white_b = 0.52 - veins
                if q < 1.12:
                    limb = min(max((q - 0.74) / 0.26, 0.0), 1.0)
                    f = (0.55 + 0.9 * fibre) * (1.25 - 0.85 * limb)
                    f *= 1.0 + 0.5 * max(0.0, 0.6 - q) * (1 if q > eye_size[1] else 0)
                    edge = min(max((q - 0.96) / 0.16, 0.0), 1.0)
                    r = colour[5, 0] * f * (1 - edge) + white_r * edge
                    g = colour[5, 1] * f * (1 - edge) + white_g * edge
                    bl = colour[5, 2] * f * (1 - edge) + white_b * edge
                    pupil = min(max((eye_size[1] + 0.04 - q) / 0.06, 0.0), 1.0)
                    r = r * (1 - pupil) + 0.004 * pupil
                    g = g * (1 - pupil) + 0.004 * pupil
                    bl = bl * (1 - pupil) + 0.005 * pupil
                else:
                    r = white_r
                    g = white_g
                    bl = white_b
                wrap_r = wrap_g = wrap_b = 0.3
                ao = ao * 0.75 + 0.1
            elif m == 2:
                arc = np.arctan2(cx, cz - 1.1) * 9.0
                arc = abs(arc - floor(arc) - 0.5) * 2
                gap = 0.6 + 0.4 * min(1.0, (1 - arc) * 5.0)
                r = 0.74 * gap * colour[9, 0]
                g = 0.69 * gap * colour[9, 1]
                bl = 0.58 * gap * colour[9, 2]
                spec = 0.12
                exponent = 30.0
                ao = min(1.0, ao + 0.2)
                wrap_r = wrap_g = wrap_b = 0.25
            elif m == 3:
                r = 0.45
                g = 0.15
                bl = 0.14
                spec = 0.1
                exponent = 30.0
                wrap_r = 0.3
            elif m == 4:
                r = 0.006
                g = 0.005
                bl = 0.004
            elif m == 6:
                su = a * attr[i, 3] + b * attr[j, 3] + c * attr[k, 3]
                sv = a * attr[i, 4] + b * attr[j, 4] + c * attr[k, 4]
                height = a * attr[i, 5] + b * attr[j, 5] + c * attr[k, 5]
                n0 = 0.6 * _sample_wrap(strand, su, sv) + 0.4 * _sample_wrap(
                    strand, su * 0.31 + 7, sv * 0.4
                )
                # light hair scatters: its roots stay bright, so it must not be speckled dark
                pale = min(1.0, (colour[4, 0] + colour[4, 1] + colour[4, 2]) * 0.8)
                f = (0.55 + 0.45 * height) * (1 - (0.55 - 0.32 * pale) * (1 - n0))
                f = f * (1 - 0.35 * pale) + 0.35 * pale
                r = (colour[3, 0] * (1 - n0) + colour[4, 0] * n0) * f
                g = (colour[3, 1] * (1 - n0) + colour[4, 1] * n0) * f
                bl = (colour[3, 2] * (1 - n0) + colour[4, 2] * n0) * f
                wrap_r = wrap_g = wrap_b = 0.3
                ao = ao * (0.6 + 0.4 * height)
            elif m == 7:
                r = colour[6, 0]
                g = colour[6, 1]
                bl = colour[6, 2]
                spec = 0.3
                exponent = 50.0
            elif m == 8:
                r = g = bl = 0.008
                spec = 0.5
                exponent = 80.0
            elif m == 9:
                mottle = 0.92 + 0.16 * _sample_wrap(noise, cx * 90 + cz * 40, cy * 90)
                r = colour[7, 0] * mottle
                g = colour[7, 1] * mottle
                bl = colour[7, 2] * mottle
                spec = 0.10 * shine
                wrap_r = 0.40
                wrap_g = 0.20
                wrap_b = 0.14
                scatter = 1.0
            else:
                r = colour[8, 0]
                g = colour[8, 1]
                bl = colour[8, 2]
                spec = 0.2
                exponent = 20.0
            # shadow of the key light, 3 x 3 taps
            # looked up a little off the surface, or coarse depth texels would draw rings on it
            ox_ = px + 0.05 * nx
            oy_ = py + 0.05 * ny
            oz_ = pz + 0.05 * nz
            qx = (
                shadow_mat[0, 0] * ox_
                + shadow_mat[0, 1] * oy_
                + shadow_mat[0, 2] * oz_
                + shadow_mat[0, 3]
            )
            qy = (
                shadow_mat[1, 0] * ox_
                + shadow_mat[1, 1] * oy_
                + shadow_mat[1, 2] * oz_
                + shadow_mat[1, 3]
            )
            qz = (
                shadow_mat[2, 0] * ox_
                + shadow_mat[2, 1] * oy_
                + shadow_mat[2, 2] * oz_
                + shadow_mat[2, 3]
            )
            lit = 0.0
            for oy in range(-1, 2):
                for ox in range(-1, 2):
                    xx = int(qx + ox * 1.3)
                    yy = int(qy + oy * 1.3)
                    if xx < 0 or yy < 0 or xx >= size or yy >= size or shadow[yy, xx] < qz + 0.05:
                        lit += 1.0
            lit /= 9.0
            nl = nx * light[0, 0] + ny * light[0, 1] + nz * light[0, 2]
            nf = nx * light[2, 0] + ny * light[2, 1] + nz * light[2, 2]
            up = 0.5 + 0.5 * ny
            side = nx * 0.5
            # red light travels furthest under skin: the terminator and shadow edges turn warm
            lit_r = lit + scatter * 0.25 * lit * (1 - lit)
            lr = max(0.0, (nl + wrap_r) / (1 + wrap_r)) * lit_r
            lg = max(0.0, (nl + wrap_g) / (1 + wrap_g)) * lit
            lb = max(0.0, (nl + wrap_b) / (1 + wrap_b)) * lit
            fl = max(0.0, (nf + 0.3) / 1.3) * ao
            ir_ = (
                light[1, 0] * lr
                + light[3, 0] * fl
                + ao * (ambient[0, 0] * up + ambient[1, 0] * (1 - up)) * (1 + ambient[2, 0] * side)
            )
            ig_ = (
                light[1, 1] * lg
                + light[3, 1] * fl
                + ao * (ambient[0, 1] * up + ambient[1, 1] * (1 - up)) * (1 + ambient[2, 1] * side)
            )
            ib_ = (
                light[1, 2] * lb
                + light[3, 2] * fl
                + ao * (ambient[0, 2] * up + ambient[1, 2] * (1 - up)) * (1 + ambient[2, 2] * side)
            )
            if m == 0 or m == 3:
                ir_ *= 1 - (1 - ao) * (0.12 + 0.5 * inside)
                ig_ *= 1 - (1 - ao) * (0.32 + 0.6 * inside)
                ib_ *= 1 - (1 - ao) * (0.36 + 0.6 * inside)
            hx = light[0, 0] + vx
            hy = light[0, 1] + vy
            hz = light[0, 2] + vz
            d = sqrt(hx * hx + hy * hy + hz * hz) + 1e-6
            nh = max(0.0, (nx * hx + ny * hy + nz * hz) / d)
            s1 = 0.0
            s2 = 0.0
            if spec > 0:
                s1 = (
                    (nh**exponent * 0.7 + nh ** (exponent * 4) * 0.5)
                    * spec
                    * (exponent + 8)
                    / 40.0
                    * max(0.0, nl)
                    * lit
                )
            hx = light[2, 0] + vx
            hy = light[2, 1] + vy
            hz = light[2, 2] + vz
            d = sqrt(hx * hx + hy * hy + hz * hz) + 1e-6
            nh2 = max(0.0, (nx * hx + ny * hy + nz * hz) / d)
            if spec > 0:
                s2 = nh2**exponent * 0.5 * spec * (exponent + 8) / 40.0 * ao
            rim = 0.0
            if scatter > 0 and inside < 0.5:
                nv = 1 - max(0.0, nx * vx + ny * vy + nz * vz)
                rim = nv * nv * nv * nv * 0.07 * ao
            ks = 0.0
            if m == 6:  # Kajiya and Kay's highlight, strands running down the head
                tx = -nx * ny
                ty = 1 - ny * ny
                tz = -nz * ny
                d = sqrt(tx * tx + ty * ty + tz * tz) + 1e-6
                hx = light[0, 0] + vx
                hy = light[0, 1] + vy
                hz = light[0, 2] + vz
                dh = sqrt(hx * hx + hy * hy + hz * hz) + 1e-6
                th = (tx * hx + ty * hy + tz * hz) / (d * dh) + 0.22 * (n0 - 0.5)
                ks = max(0.0, 1 - th * th) ** 24.0 * 0.28 * max(0.0, nl + 0.2) * lit * n0
            r = (
                r * ir_
                + s1 * light[1, 0]
                + s2 * light[3, 0]
                + rim * ambient[0, 0]
                + ks * light[1, 0] * (colour[4, 0] * 0.7 + 0.08)
            )
            g = (
                g * ig_
                + s1 * light[1, 1]
                + s2 * light[3, 1]
                + rim * ambient[0, 1]
                + ks * light[1, 1] * (colour[4, 1] * 0.7 + 0.08)
            )
            bl = (
                bl * ib_
                + s1 * light[1, 2]
                + s2 * light[3, 2]
                + rim * ambient[0, 2]
                + ks * light[1, 2] * (colour[4, 2] * 0.7 + 0.08)
            )
            if m == 1:  # the cornea's highlights
                q = nh**220.0 * 1.3 * max(lit, 0.4)
                q2 = nh2**160.0 * 0.5
                r += q * light[1, 0] + q2 * light[3, 0]
                g += q * light[1, 1] + q2 * light[3, 1]
                bl += q * light[1, 2] + q2 * light[3, 2]
            out[y, x, 0] = r
            out[y, x, 1] = g
            out[y, x, 2] = bl
            alpha[y, x] = 1.0
