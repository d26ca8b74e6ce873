-- What a script of users does: reads some attributes, adds some, drops one, looks one up.
function transform(event)
  local new = event.new
  if not new or new.status == "CANCELLED" then
    return nil
  end
  new.label = new.status .. " " .. new.currency
  new.cents = math.floor(new.amount * 100 + 0.5)
  new.town = new.address.town
  local house = lookup.houses[new.warehouse]
  new.house = house and house.name or null
  new.token = nil
  return event
end
