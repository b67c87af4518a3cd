import PeykModel
import PeykSession

// The two frames (frame.proto).

extension ProtoClientFrame {
    init(_ message: ClientMessage) {
        self.init()
        switch message {
        case .enrol(let enrol): self.message = .enrol(ProtoEnrol(enrol))
        case .hello(let hello): self.message = .hello(ProtoHello(hello))
        case .rekey(let rekey): self.message = .rekey(ProtoRekey(rekey))
        case .names(let names): self.message = .names(ProtoNames(names))
        case .push(let push): self.message = .push(ProtoPush(push))
        case .credit(let bytes): self.message = .credit(bytes)
        case .applied(let position): self.message = .applied(position)
        case .fetch(let keys): self.message = .fetch(ProtoFetch(keys))
        case .digest(let request): self.message = .digest(ProtoDigestRequest(request))
        case .history(let request): self.message = .history(ProtoHistoryRequest(request))
        case .ping(let number): self.message = .ping(number)
        case .pong(let number): self.message = .pong(number)
        case .bye(let nonceStored):
            var bye = ProtoClientFrame.Bye()
            bye.nonceStored = nonceStored
            self.message = .bye(bye)
        }
    }
}

extension ClientMessage {
    init(_ proto: ProtoClientFrame.OneOf_Message) throws(DecodeError) {
        switch proto {
        case .enrol(let enrol): self = .enrol(try enrol.model())
        case .hello(let hello): self = .hello(try hello.model())
        case .rekey(let rekey): self = .rekey(try rekey.model())
        case .names(let names): self = .names(try names.model())
        case .push(let push): self = .push(try push.model())
        case .credit(let bytes): self = .credit(bytes: try bytes.natural("a credit"))
        case .applied(let position): self = .applied(position: try position.natural("a position"))
        case .fetch(let fetch): self = .fetch(try fetch.model())
        case .digest(let request): self = .digest(try request.model())
        case .history(let request): self = .history(try request.model())
        case .ping(let number): self = .ping(number)
        case .pong(let number): self = .pong(number)
        case .bye(let bye): self = .bye(nonceStored: bye.nonceStored)
        }
    }
}

extension ProtoServerFrame {
    init(_ message: ServerMessage) {
        self.init()
        switch message {
        case .challenge(let challenge): self.message = .challenge(ProtoChallenge(challenge))
        case .enrolled(let enrolled): self.message = .enrolled(ProtoEnrolled(enrolled))
        case .welcome(let welcome): self.message = .welcome(ProtoWelcome(welcome))
        case .rekeyed(let rekeyed): self.message = .rekeyed(ProtoRekeyed(rekeyed))
        case .refuse(let refusal): self.message = .refuse(ProtoRefusal(refusal))
        case .acknowledge(let acknowledge): self.message = .acknowledge(ProtoAcknowledge(acknowledge))
        case .batch(let batch): self.message = .batch(ProtoBatch(batch))
        case .page(let page): self.message = .page(ProtoPage(page))
        case .records(let records): self.message = .records(ProtoRecords(records))
        case .digest(let reply): self.message = .digest(ProtoDigestReply(reply))
        case .history(let reply): self.message = .history(ProtoHistoryReply(reply))
        case .ping(let number): self.message = .ping(number)
        case .pong(let number): self.message = .pong(number)
        case .bye(let refusal): self.message = .bye(ProtoRefusal(refusal))
        }
    }
}

extension ServerMessage {
    init(_ proto: ProtoServerFrame.OneOf_Message) throws(DecodeError) {
        switch proto {
        case .challenge(let challenge): self = .challenge(try challenge.model())
        case .enrolled(let enrolled): self = .enrolled(try enrolled.model())
        case .welcome(let welcome): self = .welcome(try welcome.model())
        case .rekeyed(let rekeyed): self = .rekeyed(try rekeyed.model())
        case .refuse(let refusal): self = .refuse(try refusal.model())
        case .acknowledge(let acknowledge): self = .acknowledge(try acknowledge.model())
        case .batch(let batch): self = .batch(try batch.model())
        case .page(let page): self = .page(try page.model())
        case .records(let records): self = .records(try records.model())
        case .digest(let reply): self = .digest(try reply.model())
        case .history(let reply): self = .history(try reply.model())
        case .ping(let number): self = .ping(number)
        case .pong(let number): self = .pong(number)
        case .bye(let refusal): self = .bye(try refusal.model())
        }
    }
}
