"""From a world and a frame's number to the picture that the camera delivers."""

from __future__ import annotations

import cv2
import numpy as np

from edge_runtime.records import Image
from simulator.belt import belt_texture, motion_kernel
from simulator.light import Light, uneven_light
from simulator.optics import Layer, SensorNoise, lay, make_layer
from simulator.sprite import Sprite, draw_sprite
from simulator.world import PlacedFruit, World

_BELT_PERIOD_MM = 1400.0
_FULL_GAIN = 128


class Renderer:
    """Draws frames of one world; each depends on its index alone. Fruit are drawn once and forgotten when gone."""

    def __init__(self, world: World) -> None:
        self._world = world
        camera, belt = world.scenario.camera, world.scenario.belt
        rng = np.random.default_rng([world.seed, 3])
        self._light = Light()
        self._px_per_mm = 1 / camera.mm_per_px
        period_px = max(2 * camera.width_px, round(_BELT_PERIOD_MM / camera.mm_per_px))
        texture = belt_texture(
            belt.kind,
            height_px=camera.height_px,
            period_px=period_px,
            mm_per_px=camera.mm_per_px,
            rng=rng,
            seam_every_mm=belt.seam_every_mm,
        )
        # Wrapped on both sides, so that blurring and slicing never meet an edge.
        kernel = motion_kernel(world.scenario.blur_px)
        reach = kernel.shape[1]
        wide = np.concatenate([texture[:, -reach:], texture, texture[:, : camera.width_px + 1 + reach]], axis=1)
        self._texture = cv2.filter2D(wide, -1, kernel)[:, reach:-reach]
        self._period_px = period_px
        gain = uneven_light(camera.height_px, camera.width_px, strength=camera.uneven_light, rng=rng)
        self._gain = np.repeat(np.clip(gain * _FULL_GAIN, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
        self._noise = SensorNoise(camera.height_px, camera.width_px, sigma=camera.noise_levels, seed=world.seed)
        self._layers: dict[int, Layer] = {}
        self._sizes_px: dict[int, tuple[int, int]] = {}

    def render(self, index: int) -> Image:
        """The picture of frame `index`, `[height, width, 3]` uint8 RGB."""
        belt_mm = self._world.scenario.belt_mm(self._world.scenario.captured_ns(index))
        picture = self._belt(belt_mm)
        visible = self._visible(belt_mm)
        for fruit in visible:
            lay(picture, self._layer(fruit), self._world.centre_px(fruit, belt_mm))
        self._layers = {fruit.fruit_id: self._layers[fruit.fruit_id] for fruit in visible}
        lit = cv2.multiply(picture, self._gain, scale=1 / _FULL_GAIN)
        return self._noise.add_to(lit, index)  # type: ignore[arg-type]

    def size_px(self, fruit: PlacedFruit) -> tuple[int, int]:
        """Width and height of a fruit's bounding box in the picture, without blur."""
        if fruit.fruit_id not in self._sizes_px:
            self._sizes_px[fruit.fruit_id] = self._sprite(fruit).size_px
        return self._sizes_px[fruit.fruit_id]

    def _belt(self, belt_mm: float) -> Image:
        width_px = self._world.scenario.camera.width_px
        start = -belt_mm / self._world.scenario.camera.mm_per_px % self._period_px
        whole = int(start)
        left, right = (self._texture[:, x : x + width_px] for x in (whole, whole + 1))
        share = start - whole
        return cv2.addWeighted(left, 1 - share, right, share, 0)  # type: ignore[return-value]

    def _visible(self, belt_mm: float) -> list[PlacedFruit]:
        camera = self._world.scenario.camera
        reach_mm = 60.0
        ahead_mm = camera.width_px * camera.mm_per_px + reach_mm
        return [f for f in self._world.fruits if belt_mm - reach_mm < f.position_mm < belt_mm + ahead_mm]

    def _layer(self, fruit: PlacedFruit) -> Layer:
        if fruit.fruit_id not in self._layers:
            sprite = self._sprite(fruit)
            self._sizes_px[fruit.fruit_id] = sprite.size_px
            self._layers[fruit.fruit_id] = make_layer(
                sprite,
                px_per_mm=self._px_per_mm,
                light=self._light,
                blur_px=self._world.scenario.blur_px,
                focus_px=self._world.scenario.camera.focus_px,
            )
        return self._layers[fruit.fruit_id]

    def _sprite(self, fruit: PlacedFruit) -> Sprite:
        if isinstance(fruit.look, Sprite):
            return fruit.look
        return draw_sprite(fruit.look, px_per_mm=self._px_per_mm, light=self._light)
