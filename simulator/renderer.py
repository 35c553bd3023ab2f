"""From a world and a frame's number to the picture that a sound camera delivers."""

from __future__ import annotations

import bisect
import math
from itertools import pairwise

import cv2
import numpy as np

from edge_runtime.records import Image
from simulator.belt import belt_texture, soil
from simulator.codec import FilmCoder
from simulator.cutout import Photographed
from simulator.footage import belt_from_picture
from simulator.fruit import Fruit
from simulator.light import Light
from simulator.optics import make_layer
from simulator.rolling import RollingFruit
from simulator.sensor import Sensor
from simulator.sprite import Extent, Outline, Sprite, draw_outline, draw_sprite
from simulator.stamp import Stamp, make_stamp, press, travel_kernel
from simulator.world import LARGEST_MM, PlacedFruit, World

_BELT_PERIOD_MM = 1400.0
_ROLL_STEPS = 18
"""Looks of a rolling fruit in one turn: at 2.5 px/mm a step moves the skin by about five pixels."""

_ROW_STEPS = 8
"""Steps of a pixel in which a rolling shutter moves its rows."""

_Key = tuple[int, int]


class Renderer:
    """Draws frames of one world; each depends on its index alone. Fruit are drawn once and forgotten when gone."""

    def __init__(self, world: World) -> None:
        self._world = world
        camera, belt = world.scenario.camera, world.scenario.belt
        rng = np.random.default_rng([world.seed, 3])
        self._light = Light()
        self._px_per_mm = 1 / camera.mm_per_px
        if belt.picture is not None:
            texture = belt_from_picture(belt.picture, height_px=camera.height_px, min_period_px=2 * camera.width_px)
        else:
            texture = belt_texture(
                belt.kind,
                height_px=camera.height_px,
                period_px=max(2 * camera.width_px, round(_BELT_PERIOD_MM / camera.mm_per_px)),
                mm_per_px=camera.mm_per_px,
                rng=rng,
                seam_every_mm=belt.seam_every_mm,
            )
        self._sensor = Sensor(camera, world.scenario.drift, rng=rng, seed=world.seed)
        soil(texture, dirt=belt.dirt, wet=belt.wet, px_per_mm=self._px_per_mm, rng=rng)
        self._period_px = texture.shape[1]
        # Room on both sides of a frame for what moves in during an exposure, and the texture long enough for both.
        fastest_px_s = 2 * belt.speed_mm_s * self._px_per_mm
        self._room_px = 2 + math.ceil((camera.exposure_ms + camera.readout_ms) / 1000 * fastest_px_s)
        wide_px = camera.width_px + 2 * self._room_px
        repeats = 1 + math.ceil(wide_px / self._period_px)
        self._texture = np.tile(texture, (1, repeats, 1))[:, : self._period_px + wide_px]
        self._positions_mm = [fruit.position_mm for fruit in world.fruits]
        self._stamps: dict[_Key, Stamp] = {}
        self._rolling: dict[int, RollingFruit] = {}
        self._boxes = np.zeros((len(world.fruits), 4))
        self._film: FilmCoder | None = None
        if camera.mpeg4:
            size_px = (camera.width_px, camera.height_px)
            frames, rate_hz = world.shutter.frames, camera.frame_rate_hz
            self._film = FilmCoder(self._draw, frames=frames, rate_hz=rate_hz, size_px=size_px)

    def render(self, index: int) -> Image:
        """The picture of frame `index`, `[height, width, 3]` uint8 RGB."""
        return self._draw(index) if self._film is None else self._film.picture(index)

    def _draw(self, index: int) -> Image:
        """The picture as the sensor delivers it."""
        world = self._world
        exposed_ns, belt_mm = int(world.shutter.exposed_ns[index]), float(world.shutter.belt_mm[index])
        belt_px = belt_mm * self._px_per_mm
        whole_px = math.floor(belt_px)
        canvas = self._belt(whole_px)
        near = self._near(belt_mm)
        for fruit in near:
            stamp = self._stamp(fruit, self._roll_step(fruit, belt_mm))
            x_px, y_px = (math.floor(at) for at in world.centre_px(fruit, 0.0))
            press(canvas, stamp, x_px + whole_px + self._room_px, y_px)
        kept = {fruit.fruit_id for fruit in near}
        self._stamps = {key: stamp for key, stamp in self._stamps.items() if key[0] in kept}
        self._rolling = {fruit_id: body for fruit_id, body in self._rolling.items() if fruit_id in kept}
        light = self._expose(canvas, exposed_ns, belt_px - whole_px, world.blur_px(index))
        return self._sensor.develop(light, index, exposed_ns / 1e9)

    def extent(self, fruit: PlacedFruit) -> Extent:
        """The box around a fruit in the picture, without blur; of a rolling one, as it lies."""
        if not self._boxes[fruit.fruit_id].any():
            if isinstance(fruit.look, Fruit) and not fruit.rolls:
                self._keep_extent(fruit, draw_outline(fruit.look, px_per_mm=self._px_per_mm))
            else:
                drawn = fruit.fruit_id in self._rolling
                self._keep_extent(fruit, self._sprite(fruit, 0).outline)
                if not drawn:
                    self._rolling.pop(fruit.fruit_id, None)
        width, height, right, down = map(float, self._boxes[fruit.fruit_id])
        return Extent((round(width), round(height)), (right, down))

    def _keep_extent(self, fruit: PlacedFruit, outline: Outline) -> None:
        """In one array for all fruit, so that memory does not grow with those that have gone by."""
        extent = outline.extent
        self._boxes[fruit.fruit_id] = (*extent.size_px, *extent.offset_px)

    def _belt(self, whole_px: int) -> Image:
        """The empty belt when it has run so many pixels, with room on both sides, to draw on."""
        start = (-whole_px - self._room_px) % self._period_px
        return self._texture[:, start : start + self._world.scenario.camera.width_px + 2 * self._room_px].copy()

    def _near(self, belt_mm: float) -> list[PlacedFruit]:
        """Fruit of which something, be it a shadow, may show."""
        camera = self._world.scenario.camera
        room_mm = LARGEST_MM + self._room_px * camera.mm_per_px
        first = bisect.bisect_left(self._positions_mm, belt_mm - room_mm)
        end = bisect.bisect_right(self._positions_mm, belt_mm + camera.width_px * camera.mm_per_px + room_mm)
        return list(self._world.fruits[first:end])

    def _roll_step(self, fruit: PlacedFruit, belt_mm: float) -> int:
        if not fruit.rolls:
            return 0
        turns = (belt_mm - fruit.position_mm) / 1000 * self._world.scenario.fruit.turns_per_m
        return round(turns * _ROLL_STEPS) % _ROLL_STEPS

    def _stamp(self, fruit: PlacedFruit, step: int) -> Stamp:
        kept = self._stamps.get((fruit.fruit_id, step))
        if kept is not None:
            return kept
        sprite = self._sprite(fruit, step)
        if step == 0:
            self._keep_extent(fruit, sprite.outline)
        layer = make_layer(
            sprite, px_per_mm=self._px_per_mm, light=self._light, focus_px=self._world.scenario.camera.focus_px
        )
        x_px, y_px = self._world.centre_px(fruit, 0.0)
        stamp = self._stamps[fruit.fruit_id, step] = make_stamp(layer, (x_px % 1, y_px % 1))
        return stamp

    def _sprite(self, fruit: PlacedFruit, step: int) -> Sprite:
        if isinstance(fruit.look, Photographed):
            return fruit.look.sprite(step / _ROLL_STEPS)
        if not fruit.rolls:
            return draw_sprite(fruit.look, px_per_mm=self._px_per_mm, light=self._light)
        rolling = self._rolling.get(fruit.fruit_id)
        if rolling is None:
            rolling = RollingFruit(fruit.look, px_per_mm=self._px_per_mm, light=self._light)
            self._rolling[fruit.fruit_id] = rolling
        return rolling.sprite(fruit.look.pose.roll_rad + 2 * math.pi * step / _ROLL_STEPS)

    def _expose(self, canvas: Image, exposed_ns: int, fraction_px: float, blur_px: float) -> Image:
        """Move the belt on by a fraction of a pixel, blur it by its way, and cut off the room at its sides.

        With a rolling shutter rows are exposed one after the other, the middle one at the frame's time.
        """
        camera = self._world.scenario.camera
        light = np.empty((camera.height_px, camera.width_px, 3), np.uint8)
        way_px = self._world.motion.speed_mm_s(exposed_ns) * camera.readout_ms / 1000 * self._px_per_mm
        rows = (np.arange(camera.height_px) - (camera.height_px - 1) / 2) / camera.height_px
        steps = np.round(rows * way_px * _ROW_STEPS).astype(int)
        # Rows of one step together: the fractions are few, and bands cost less than rows.
        starts = [0, *(np.flatnonzero(np.diff(steps)) + 1), camera.height_px]
        kernels = {
            step: travel_kernel((fraction_px + step / _ROW_STEPS) % 1, blur_px) for step in set(steps % _ROW_STEPS)
        }
        for top, bottom in pairwise(starts):
            left = self._room_px - math.floor(fraction_px + steps[top] / _ROW_STEPS)
            moved = cv2.filter2D(canvas[top:bottom], -1, kernels[steps[top] % _ROW_STEPS])
            light[top:bottom] = moved[:, left : left + camera.width_px]
        return light
