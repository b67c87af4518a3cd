import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykNet
import PeykServer
import PeykTransport

/// A role by its name.
private func readRole(_ text: String) throws -> Role {
    guard let role = Role(rawValue: text) else {
        throw ValidationError("“\(text)” is no role; the roles are rep, manager, admin and viewer.")
    }
    return role
}

struct UserGroup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user", abstract: "Users: who may see and write what.",
        subcommands: [Add.self, Change.self, List.self])

    static let columns = Columns([
        ("name", "Name", "نام", .text), ("role", "Role", "نقش", .text), ("territories", "Territories", "مناطق", .list),
        ("devices", "Devices", "دستگاه‌ها", .number), ("last_contact", "Last contact", "آخرین تماس", .time),
        ("disabled", "Disabled", "غیرفعال", .text), ("id", "Id", "شناسه", .id),
    ])

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Add a user.",
            discussion: """
                A rep sees and writes the records of the territories given, and what is hers; a manager without \
                territories sees everything, with territories these and what is nobody's; an admin also writes \
                reference data; a viewer only reads. A territory that does not exist yet is made.

                Example:  peykd user add Anna --role rep --territory North
                """)
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The user's name; it must be new.") var name: String
        @Option(
            help: ArgumentHelp("rep, manager, admin or viewer (default: rep).", valueName: "role"), transform: readRole)
        var role: Role = .rep
        @Option(help: "A territory, by name, code or id; may be repeated.") var territory: [String] = []

        func run() throws {
            let client = try place.client()
            try Territories.make(territory, client)
            let user = try client.send(.addUser(name: name, role: role, territories: territory))
            UserGroup.columns.print([user], on: output.console)
        }
    }

    struct Change: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "set", abstract: "Change a user's role, territories or access.",
            discussion: """
                What is not given stays. Devices get the new scope with their next sync; edits that are not yet synced \
                are merged all the same.

                Example:  peykd user set Anna --territory North --territory East
                """)
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The user's name or id.") var name: String
        @Option(help: ArgumentHelp("rep, manager, admin or viewer.", valueName: "role"), transform: readRole)
        var role: Role?
        @Option(help: "The territories from now on; repeat for several.") var territory: [String] = []
        @Flag(help: "Take all territories away.") var noTerritory = false
        @Flag(help: "End the user's access: every device is refused.") var disable = false
        @Flag(help: "Give the access back.") var enable = false

        func validate() throws {
            guard !(disable && enable), !(noTerritory && !territory.isEmpty) else {
                throw ValidationError("These options contradict each other.")
            }
            guard role != nil || !territory.isEmpty || noTerritory || disable || enable else {
                throw ValidationError("Nothing to change: give --role, --territory, --disable or --enable.")
            }
        }

        func run() throws {
            let client = try place.client()
            try Territories.make(territory, client)
            let user = try client.send(
                .setUser(
                    name: name, role: role, territories: noTerritory ? [] : territory.isEmpty ? nil : territory,
                    isDisabled: disable ? true : enable ? false : nil))
            UserGroup.columns.print([user], on: output.console)
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the users.")
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        func run() throws {
            let users = try place.client().send(.listUsers).arrayValue ?? []
            UserGroup.columns.print(users, on: output.console)
        }
    }
}

/// Territories that a command names and the workspace lacks.
enum Territories {
    static func make(_ names: [String], _ client: AdminClient) throws {
        guard !names.isEmpty else { return }
        let schema = try client.send(.showSchema)["tables"]?.arrayValue ?? []
        guard schema.contains(where: { $0["name"]?.stringValue == "territory" }) else { return }
        let known = try client.send(.listTerritories).arrayValue ?? []
        for name in names where RecordID(name) == nil {
            let isKnown = known.contains { territory in
                ["name", "name_fa", "code"].contains { territory[$0]?.stringValue == name }
            }
            guard !isKnown else { continue }
            _ = try client.send(.addTerritory(name: name, persianName: nil, code: nil))
            Terminal.message("The territory “\(name)” is new: it was made.")
        }
    }
}

struct TerritoryGroup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "territory", abstract: "Territories.", subcommands: [Add.self, List.self])

    static let columns = Columns([
        ("name", "Name", "نام", .text), ("name_fa", "Persian name", "نام فارسی", .text), ("code", "Code", "کد", .text),
        ("users", "Users", "کاربران", .list), ("id", "Id", "شناسه", .id),
    ])

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Add a territory.", discussion: "Example:  peykd territory add North --name-fa شمال")
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "Its name; it must be new.") var name: String
        @Option(help: "Its Persian name.") var nameFa: String?
        @Option(help: "A short code.") var code: String?

        func run() throws {
            let made = try place.client().send(.addTerritory(name: name, persianName: nameFa, code: code))
            TerritoryGroup.columns.print([made], on: output.console)
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the territories, and who has them.")
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        func run() throws {
            let all = try place.client().send(.listTerritories).arrayValue ?? []
            TerritoryGroup.columns.print(all, on: output.console)
        }
    }
}

struct Invite: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print a link that lets one device of a user in, once.",
        discussion: """
            The link holds a secret and this server's fingerprint: hand it over by a way that you trust. It goes with \
            the first device that uses it, and after --ttl by itself.

            Example:  peykd invite Anna --ttl 1h
            """)
    @OptionGroup var place: DataOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The user's name or id.") var name: String
    @Option(help: ArgumentHelp("How long it may be used: 30s, 15m, 2h, 3d.", valueName: "time"))
    var ttl = Duration(seconds: 900)
    @Option(help: ArgumentHelp("The server's address in the link.", valueName: "host:port"))
    var `public`: String?

    func run() throws {
        let client = try place.client()
        let (address, isPlaintext) = try client.installation.publicAddress(self.public)
        let fingerprint = isPlaintext ? nil : try TLSIdentity(directory: client.installation.directory).fingerprint
        let made = try client.send(.invite(user: name, seconds: ttl.seconds))
        guard let code = made["code"]?.stringValue, let workspace = made["workspace"]?.stringValue,
            let expires = made["expires_at"]?.integerValue, let user = made["user"]?.stringValue
        else { throw Failure(.protocolBroken, "The server's answer is not understood.") }
        let url = InviteURL(
            host: address.host, port: address.port, workspace: workspace, code: code, fingerprint: fingerprint)
        let console = output.console
        guard console.format == .table else {
            console.print([
                ("url", "Invite", "\(url)", .string("\(url)")), ("user", "User", user, .string(user)),
                ("expires_at", "Until", "", .string(Instant.iso(expires))),
            ])
            return
        }
        Terminal.write("\(url)\n")
        Terminal.message("For \(user); works once, until \(console.show.instant(expires)).")
    }
}
