"""The processes of a line: capture, vision, actuator, reporter, and the supervisor that keeps them alive.

They share frames (`ring`) and numbers (`board`) through memory in which every word has one writer, and send each other
datagrams (`mail`). Nothing that they share is locked, so that any of them may be killed at any moment.
"""
