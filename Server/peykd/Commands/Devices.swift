import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykServer

struct DeviceGroup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "device", abstract: "Devices: who has a replica, and how far it is.",
        subcommands: [List.self, Revoke.self, Allow.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the devices: last contact, version, how far behind, declared edits.",
            discussion: """
                A replica that was copied, or put back to an older image, gets a site of its own. It stands under the \
                one that it is a copy of; revoking one of them revokes all. Of a laptop that was put back, the older \
                entry does not come again.

                Example:  peykd device list
                """)
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Flag(help: "Revoked and replaced ones too.") var all = false

        func run() throws {
            let devices = try place.client().send(.listDevices).arrayValue ?? []
            Columns([
                ("site", "Site", "پایگاه", .id), ("user", "User", "کاربر", .text),
                ("device", "Device", "دستگاه", .text), ("copy_of", "Copy of", "رونوشت", .id),
                ("last_contact", "Last contact", "آخرین تماس", .time), ("anchor", "Anchor", "لنگر", .number),
                ("lag", "Behind", "عقب", .number), ("pending", "Declared edits", "ویرایش‌های اعلام‌شده", .number),
                ("program", "Program", "برنامه", .text), ("state", "State", "وضعیت", .text),
            ]).print(devices.filter { all || $0["state"]?.stringValue == "live" }, on: output.console)
        }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "End a device's access, with every copy of it.",
            discussion: """
                Its sessions end within seconds. What it had not sent stays on the device; what it still sends is kept \
                in quarantine and not merged: see “peykd quarantine list”.

                Example:  peykd device revoke 3fa2b1
                """)
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The site, or its first digits.") var site: String

        func run() throws {
            let revoked = try place.client().send(.revokeDevice(site))
            let sites = (revoked["revoked"]?.arrayValue ?? []).compactMap(\.stringValue)
            let console = output.console
            let rows = (revoked["devices"]?.arrayValue ?? []).map { device -> [String] in
                let copied = device["copy_of"]?.stringValue.map { "copy of " + $0.prefix(8) } ?? ""
                let former = device["replaced_by"] == .null ? "" : "former"
                return [
                    String((device["site"]?.stringValue ?? "").prefix(8)), device["user"]?.stringValue ?? "",
                    device["device"]?.stringValue ?? "", copied.isEmpty ? former : copied,
                ]
            }
            console.print(
                TextTable(["Revoked", "User", "Device", ""], rows: rows), csv: [["revoked"]] + sites.map { [$0] },
                json: revoked)
        }
    }

    struct Allow: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a revocation back: the device, with every copy of it, syncs again.",
            discussion: """
                What it had not sent comes with its next sync, whether or not it lies in quarantine.

                Example:  peykd device allow 3fa2b1
                """)
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The site, or its first digits.") var site: String

        func run() throws {
            let allowed = try place.client().send(.allowDevice(site))
            let sites = (allowed["allowed"]?.arrayValue ?? []).compactMap(\.stringValue)
            output.console.print(
                TextTable(["Allowed"], rows: sites.map { [$0] }), csv: [["allowed"]] + sites.map { [$0] }, json: allowed
            )
        }
    }
}
