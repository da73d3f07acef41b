"""What several commands take of a party that is certified, each option declared once."""

from typing import Annotated

import typer

BrandName = Annotated[str | None, typer.Option("--brand", help="Needed only where there are several.")]
Prefix = Annotated[str, typer.Option("--name", metavar="NAME", help="What the files are called.")]
Issuer = Annotated[str, typer.Option("--issuer", help="The bank that issued the card.")]
MerchantID = Annotated[str, typer.Argument(metavar="MERID", help="As the acquirer assigned it.")]
GatewayID = Annotated[str, typer.Argument(metavar="ID", help="The gateway's identifier.")]
Acquirer = Annotated[str, typer.Option("--acquirer", help="The acquiring bank.")]
Bin = Annotated[str, typer.Option("--bin", help="The acquirer's BIN, six digits.")]
Account = Annotated[str, typer.Option("--account", help="The account at the acquirer.")]
Person = Annotated[str, typer.Option("--person", help="Who applies: the answer to the form.")]
ShownAs = Annotated[str, typer.Option("--shown-as", help="The merchant, as on the cardholder's statement.")]
City = Annotated[str, typer.Option("--city", help="Where the merchant is.")]
CountryNumber = Annotated[int, typer.Option("--country", help="The merchant's: ISO 3166, numeric; 999 is none.")]
