"""gopher:// (RFC 1436): one line asks, and what comes until the server closes the connection is the file."""

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectingCancelledError, ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl import Head
from pulp_dl.errors import ConnectFailed
from pulp_dl.interfaces import IBody, IFetcher


@implementer(IFetcher)
class GopherFetcher:
    def __init__(self, reactor, remote, shared):
        self.reactor, self.limit, self.slots, self.stops = reactor, remote.timeouts.connect, shared.slots, set()

    def open(self, source, span=None, same_as=None):  # gopher has no parts: whoever wants one gets the whole
        opening = Deferred.fromCoroutine(self._open(source))
        self.stops.add(opening.cancel)  # what close() calls
        return opening.addBoth(lambda result: self.stops.discard(opening.cancel) or result)

    async def _open(self, source):
        host, port = source.place.host, source.place.port or 70
        slot = await self.slots.acquire((host, port))  # no socket without one
        body = GopherBody(source.url, slot, self.stops)
        try:
            await TCP4ClientEndpoint(self.reactor, host, port, self.limit).connect(Factory.forProtocol(lambda: body))
        except Exception as cause:
            slot.release()
            cancelled = isinstance(cause, ConnectingCancelledError)
            raise CancelledError if cancelled else ConnectFailed(f"no connection: {cause}", source.url) from cause
        body.transport.write(source.place.path[2:].encode() + b"\r\n")  # what follows a slash and the item's type
        return body

    def head(self, source):
        return self.open(source).addCallback(lambda body: body.abandon() or body.head)

    def close(self):
        for stop in [*self.stops]:
            stop()
        return deferLater(self.reactor, 0)  # a connection that was aborted is gone by then


@implementer(IBody)
class GopherBody(Protocol):
    public, done = True, None  # public: whoever answered was shown no secrets

    def __init__(self, url, slot, stops):
        self.url, self.head, self.slot, self.stops = url, Head(url, 200), slot, stops

    def connectionMade(self):
        self.stops.add(self.abandon)
        self.pauseProducing, self.resumeProducing = self.transport.pauseProducing, self.transport.resumeProducing
        self.pauseProducing()  # nothing is read before somebody wants it

    def deliver(self, consumer):
        done = self.done = Deferred(lambda _: self.abandon())
        self.consumer = consumer
        self.resumeProducing()
        maybeDeferred(consumer.registerProducer, self, True).addErrback(self.end)  # which may pause it again
        if not self.transport.connected:  # it broke off before anybody wanted it
            self.end(Failure(ConnectFailed("it broke off", self.url)))
        return done

    def dataReceived(self, data):
        maybeDeferred(self.consumer.write, data).addErrback(self.end)

    def connectionLost(self, reason):
        self.stops.discard(self.abandon)
        self.slot.release()
        self.end(None if reason.check(ConnectionDone) else Failure(ConnectFailed("it broke off", self.url)))

    def abandon(self):
        self.end(Failure(CancelledError()))

    stopProducing = abandon

    def end(self, result):
        self.transport.abortConnection()
        done, self.done = self.done, None
        if done is not None:
            going = maybeDeferred(self.consumer.unregisterProducer)
            going.addCallbacks(lambda _: result, lambda failure: result or failure)  # what came first counts
            going.chainDeferred(done)
