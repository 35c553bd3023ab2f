"""The part of Ripeline that runs at the line: a bundle and a camera in, one decision a fruit out.

Nothing here imports TensorFlow, Keras, ONNX or any package of the training side.
"""
